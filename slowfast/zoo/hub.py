"""Weights of the Hugging Face Hub: hf:user/name, hf:user/name@revision, hf:user/name/file.pyth."""

import re
from pathlib import Path

from slowfast.zoo.names import CONFIG, WEIGHTS

_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^@/]+))?(?:/(?P<file>.+))?")


def fetch(name: str) -> Path:
    """Fetch the weights, and the config beside them; what the cache has is not fetched again.

    The cache, the address (HF_ENDPOINT), and who you are (`hf auth login`) are huggingface_hub's.
    Without a network the cache is used. ValueError says why nothing was found, and the way by hand.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"hf:{name}: is not of the form hf:user/name, hf:user/name@revision, or "
            "hf:user/name/file.pyth"
        )
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError
    except ImportError as error:
        raise ValueError(
            f"hf:{name}: needs the package huggingface_hub, the extra `hub` of this one: "
            "pip install 'slowfast[hub]'"
        ) from error
    repo, revision = match["repo"], match["revision"]
    try:
        path = Path(hf_hub_download(repo, match["file"] or WEIGHTS, revision=revision))
    except Exception as error:  # a download fails in any way
        raise ValueError(f"hf:{name}: {_reason(error, repo)}") from error
    if not match["file"]:
        try:
            hf_hub_download(repo, CONFIG, revision=revision)
        except EntryNotFoundError:  # the weights alone: --cfg gives the config
            pass
    return path


def _reason(error: Exception, repo: str) -> str:
    """Words for an error of a download, and what to do."""
    first = str(error).strip().split("\n")[0][:200]
    return (
        f"could not be fetched ({type(error).__name__}: {first}). Is the name right? Is it "
        "private, or are its terms to be accepted: `hf auth login`. Without a network: run `hf "
        f"download {repo} --local-dir FOLDER` where there is one, and name FOLDER in place of hf:"
    )
