"""From the command line to a checked config, and to the files that say how a run was made."""

import argparse
import importlib
import shlex
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg
from slowfast.config.document import help_text
from slowfast.config.foreign import adopt_foreign_forms
from slowfast.config.node import ConfigNode, flatten
from slowfast.shipped import config_path
from slowfast.utils.cli import add_cfg, make_parser
from slowfast.utils.io import atomic_write


def import_modules(names: Iterable[str]) -> None:
    """Import the modules of the key IMPORTS, which register what they add.

    A name is that of a module or package in the current folder, on PYTHONPATH or installed, or the
    path of a .py file or of a package's folder. ValueError says why one cannot be imported.
    Further imports of the same names do nothing.
    """
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"IMPORTS: {name!r} is not the name of a module, e.g. my_package")
        if name.endswith(".py") or "/" in name or "\\" in name:
            _import_file(Path(name).expanduser().resolve())
        else:
            _search_first(Path.cwd())
            _import(name)


def _import_file(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"IMPORTS: {path}: there is no such file or folder")
    _search_first(path.parent)
    module = _import(path.stem)
    found = Path(module.__file__ or module.__path__[0])
    if found not in (path, path / "__init__.py"):
        raise ValueError(
            f"IMPORTS: {path}: Python already has a module {path.stem!r} ({found}); rename yours"
        )


def _search_first(folder: Path) -> None:
    """Let Python find the modules of `folder`; spawned processes inherit this path."""
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"IMPORTS: cannot import {name!r}: {_reason(name, error)}") from error


def _reason(name: str, error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{name}.".startswith(f"{missing}."):
        return (
            f"there is no module {missing!r} in the current folder {Path.cwd()}, on PYTHONPATH "
            "or among the installed packages; go to its folder, install it, or give the path of "
            "its file"
        )
    ours = ("<frozen importlib", importlib.__file__, __file__)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f"{f.filename}:{f.lineno}: " for f in frames if not f.filename.startswith(ours)]
    where = theirs[-1] if theirs else ""  # a SyntaxError says its place
    return f"{where}{type(error).__name__}: {error}"


_DESCRIPTION = "Train and test a video network as a config file says."
_EPILOG = """\
examples:
  %(prog)s --cfg Kinetics/x3d/X3D_M DATA.PATH_TO_DATA_DIR data/kinetics NUM_GPUS 4
  %(prog)s --cfg my.yaml TRAIN.ENABLE False TEST.CHECKPOINT_FILE_PATH x3d_m.pyth
"""

# Our own tables. By name, as the modules of a user: they register rules here, and stand right of
# config, which therefore does not import them when it is imported itself.
_TABLES = ("slowfast.models.build", "slowfast.datasets.build", "slowfast.tasks.build")


def add_import(parser: argparse.ArgumentParser) -> None:
    """--import, modules that a user's own parts register themselves in."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with models, datasets or tasks of your own; adds to IMPORTS",
    )


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line: `cfg`, `opts` (KEY, VALUE, ...), `imports` and what machines need.

    Overrides stand anywhere, alone or after --opts. None for `num_shards` and `shard_id` leaves the
    config's values.
    """
    parser = make_parser(_DESCRIPTION, epilog=_EPILOG)
    add_cfg(parser, "YAML file of the run")
    parser.add_argument(
        "--help-config",
        action=_HelpConfig,
        nargs="?",
        metavar="SECTION",
        help="print all config keys, or one section or key, and exit",
    )
    parser.add_argument(
        "--init_method",
        default="",
        metavar="URL",
        help="where the processes of all machines meet, tcp://HOST:PORT of the first (default: "
        "MASTER_ADDR and MASTER_PORT, else on one machine a free port)",
    )
    parser.add_argument("--num_shards", type=int, help="number of machines; sets NUM_SHARDS")
    parser.add_argument("--shard_id", type=int, help="number of this machine; sets SHARD_ID")
    add_import(parser)
    parser.add_argument(
        "--opts", dest="more", nargs="+", action="extend", default=[], metavar="KEY VALUE"
    )
    parser.add_argument(
        "opts", nargs="*", metavar="KEY VALUE", help="overrides, e.g. TRAIN.BATCH_SIZE 16"
    )
    args = parser.parse_intermixed_args(argv)
    args.opts = [*args.opts, *args.more]
    del args.more
    return args


class _HelpConfig(argparse.Action):
    """Print keys and exit, as --help does."""

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            text = help_text(values or "")
        except ValueError as error:
            parser.error(f"{option_string}: {error}")
        sys.stdout.write(text)
        parser.exit()


# A YAML file, sections and keys as such a file has them, or a config.
AnyConfig = str | Path | Mapping[str, Any]
Overrides = Sequence[Any] | Mapping[str, Any]  # KEY, VALUE, ..., or {KEY: VALUE}


def override_words(overrides: Overrides) -> list[Any]:
    """KEY, VALUE, ... of overrides in either form."""
    if isinstance(overrides, Mapping):
        return [word for pair in overrides.items() for word in pair]
    return list(overrides)


def load_cfg(config: AnyConfig, opts: Overrides = ()) -> ConfigNode:
    """Load the frozen config of a YAML file and overrides; ValueError for mistakes.

    Overrides are [KEY, VALUE, ...] or {KEY: VALUE}. A file may be the name of a shipped recipe,
    "X3D_S" or "Kinetics/x3d/X3D_S". Instead of a file you can give a dict of sections,
    {"TRAIN": {"BATCH_SIZE": 8}} or {"TRAIN.BATCH_SIZE": 8}, or another config, which does not
    change. The modules that IMPORTS names are imported, and their rules hold, too.
    """
    opts = override_words(opts)
    if isinstance(config, ConfigNode):
        cfg = config.clone()
        cfg.defrost()
        cfg.merge_from_list(list(opts))
        return _finish(cfg)
    if isinstance(config, Mapping):
        return load_cfg_of_values(dict(flatten(config)), "config", opts)
    return _finish(_merge(config, opts))


def load_cfg_of_values(
    values: Mapping[str, Any], where: str, opts: Sequence[Any] = ()
) -> ConfigNode:
    """The same of values by full key, as a checkpoint holds them; `where` is named in messages."""
    cfg = get_cfg()
    cfg.merge_from_values(values, where)
    cfg.merge_from_list(list(opts))
    return _finish(cfg)


def load_cfg_from_args(args: argparse.Namespace) -> ConfigNode:
    """Load the config that a command line describes."""
    shards = [("NUM_SHARDS", args.num_shards), ("SHARD_ID", args.shard_id)]
    flags = [word for pair in shards if pair[1] is not None for word in pair]
    cfg = _merge(args.cfg, [*args.opts, *flags])
    cfg.IMPORTS = list(dict.fromkeys([*cfg.IMPORTS, *args.imports]))
    return _finish(cfg)


def _merge(path: str | Path, opts: Sequence[Any]) -> ConfigNode:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(path))
    cfg.merge_from_list(list(opts))
    return cfg


def _finish(cfg: ConfigNode) -> ConfigNode:
    for table in _TABLES:
        importlib.import_module(table)
    import_modules(cfg.IMPORTS)
    cfg.expand_home()
    adopt_foreign_forms(cfg)
    check_cfg(cfg)
    cfg.freeze()
    return cfg


def save_run_config(cfg: ConfigNode, argv: Sequence[str]) -> Path:
    """Write OUTPUT_DIR/config.yaml, which --cfg loads again, and add the command to command.txt.

    A config.yaml with other values is kept as config_1.yaml, config_2.yaml, ...
    """
    path, command = Path(cfg.OUTPUT_DIR) / "config.yaml", shlex.join(argv)
    values = cfg.dump()
    earlier = _read_text(path)
    if earlier and _without_comments(earlier) != values:
        _write_text(_free_name(path), earlier)
    # One comment line of valid UTF-8, whatever the command's words hold.
    comment = " ".join(command.encode(errors="backslashreplace").decode().splitlines())
    _write_text(path, f"# Written by: {comment}\n{values}")
    log = path.with_name("command.txt")
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    _write_text(log, f"{_read_text(log)}{time} {command}\n")
    return path


def _read_text(path: Path) -> str:
    """Text that `_write_text` wrote; "" where there is no such file."""
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else ""


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path, "w") as file:
        file.write(text)


def _without_comments(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_stem(f"{path.stem}_{number}")).exists():
        number += 1
    return name
