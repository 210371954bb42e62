"""Pages of the site that lie outside of docs/, and links that hold on GitHub and in the site.

mkdocs calls the functions. README.md and the like are read where they lie; a notebook becomes a
page; files that a page links to, such as recipes, are copied.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Path in the repository -> page of the site. Names differ in more than case, for macOS and Windows.
PAGES = {
    "README.md": "index.md",
    "INSTALL.md": "installation.md",
    "DATA.md": "datasets.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/tutorial.ipynb": "tutorial.md",
}
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
_FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and copies of files that pages link to."""
    for source, page in PAGES.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, page, content=_text(ROOT / source)))
    for target in sorted({t for file in files.documentation_pages() for t in _outside(file)}):
        source = str(ROOT / target)
        files.append(File.generated(config, f"files/{target}", abs_src_path=source))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    here = page.file.src_uri

    def renamed(match: re.Match) -> str:
        return posixpath.relpath(_page(_target(here, match[1])), posixpath.dirname(here) or ".")

    pieces = _FENCE.split(markdown)
    return "".join(p if n % 2 else _LINK.sub(renamed, p) for n, p in enumerate(pieces))


def _text(path: Path) -> str:
    """Markdown of a file; of a notebook its cells, without what they printed."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = (("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells)
    return "\n\n".join(f"```python\n{text}\n```" if is_code else text for text, is_code in texts)


def _target(page: str, link: str) -> str:
    """Path in the repository of a link of a page."""
    source = _SOURCES.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _page(target: str) -> str:
    """Place in the site of a path in the repository."""
    if target in PAGES:
        return PAGES[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"files/{target}"


def _outside(file: File) -> Iterator[str]:
    """Files outside of docs/ that a page links to, and that are no pages themselves."""
    for text in _FENCE.split(file.content_string)[::2]:
        for link in _LINK.findall(text):
            target = _target(file.src_uri, link)
            is_page = target in PAGES or target.startswith("docs/")
            if not is_page and (ROOT / target).is_file():
                yield target
