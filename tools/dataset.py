"""Check, prepare, index, pack and look at datasets.

python tools/dataset.py check --cfg configs/tiny/ssv2.yaml DATA.PATH_TO_DATA_DIR data/ssv2
python tools/dataset.py check --csv train.csv val.csv --videos data/videos --fix
python tools/dataset.py prepare --videos data/videos --csv train.csv val.csv --output data/small
python tools/dataset.py index --videos data/videos --output data/videos/index.npz
python tools/dataset.py pack --videos data/small --csv data/small/train.csv --output data/packed
python tools/dataset.py show --cfg X3D_M.yaml --split train --output sheet.png

All but show and kinetics-lists on several machines: --shard 0/4 to 3/4, then --merge
(docs/clusters.md).
"""

# Workers are spawned and import this file: what is slow to import is imported by what needs it.
import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from slowfast.curation.shards import add_shard
from slowfast.utils.cli import (
    Command,
    add_cfg,
    add_output,
    add_overrides,
    add_workers,
    at_least,
    leave,
    parse_command,
    run_tool,
)

logger = logging.getLogger("slowfast.dataset")

_NUM_SHOWN = 20
# The kinds of slowfast.curation.check, which is slow to import.
FAULTS = (
    *("missing", "unreadable", "no frames", "wrong label", "same path twice", "duplicate"),
    *("in train and val", "short", "damaged", "class without a video", "wrong list"),
)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 where all is well, 1 for mistakes, faults and failures."""
    command, args = parse_command(__doc__, _COMMANDS, argv)
    interrupted = "interrupted; the same command goes on where this one ended"
    return run_tool(command.run, args, interrupted=interrupted)


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    add_cfg(parser, "YAML file whose datasets are checked", required=False)
    add_output(
        parser,
        "folder for report.json, faults.csv and what a restart needs (default: %(default)s)",
        metavar="DIR",
        type=Path,
        default=Path("dataset_check"),
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        choices=["train", "val", "test"],
        help="of --cfg (default: train val)",
    )
    _add_list_arguments(parser, "in place of --cfg: lists `path label`, that of training first")
    parser.add_argument(
        "--num-classes", type=int, metavar="N", help="of --csv (default: labels that occur)"
    )
    parser.add_argument(
        "--list-format",
        choices=["labels", "frames", "parts"],
        help="of --csv, as DATA.LIST_FORMAT (default: recognised)",
    )
    parser.add_argument(
        "--multi-label",
        action="store_true",
        default=None,
        help="lines of --csv have any number of labels",
    )
    parser.add_argument(
        "--clip",
        type=int,
        nargs=2,
        metavar=("FRAMES", "RATE"),
        help="of --csv: a video needs so many frames, so far apart at 30 fps (default: 8 8)",
    )
    parser.add_argument(
        "--fix",
        nargs="*",
        metavar="KIND",
        choices=FAULTS,
        help="write NAME.fixed.csv without lines that have a fault, or one of these faults "
        "(default: all but short, damaged)",
    )
    add_workers(parser)
    add_shard(parser)
    _add_max_pixels(parser)
    add_overrides(parser)


def run_check(args: argparse.Namespace) -> int:
    """Exit code 1 if there are faults."""
    from slowfast.config.cli import load_cfg
    from slowfast.config.derived import class_counts
    from slowfast.curation import check, config_splits, splits
    from slowfast.datasets.decoding.video import MAX_PIXELS

    if bool(args.cfg) == bool(args.csv):
        raise ValueError("give either --cfg or --csv")
    if args.cfg:
        of_lists = ("videos", "separator", "list_format", "multi_label")
        of_lists += ("num_classes", "clip", "fix", "max_pixels")
        _refuse(args, of_lists, "with --cfg, only with --csv")
        cfg = load_cfg(args.cfg, args.overrides)
        num_classes = sum(class_counts(cfg.MODEL.NUM_CLASSES))
        lists, sampler = config_splits.build_splits(cfg, args.splits or ["train", "val"])
    else:
        _refuse(args, ("splits",), "with --csv, only with --cfg")
        if args.overrides:
            raise ValueError(
                f"{args.overrides[0]}: KEY VALUE has no effect with --csv, only with --cfg"
            )
        num_classes, sampler = args.num_classes, config_splits.span_sampler(*args.clip or (8, 8))
        lists = splits.read_csv_splits(args.csv, _list_rules(args))
    limit = (cfg.DATA.MAX_PIXELS if args.cfg else args.max_pixels) or MAX_PIXELS
    if args.shard.is_share:
        _refuse(args, ("fix",), "with --shard, only with --merge")
        found = check.examine_share(
            lists, args.output, args.shard, workers=args.workers, max_pixels=limit
        )
        return _say_share(args, *found)
    fixed = [] if args.fix is None else [(check.fixed_path(split), split) for split in lists]
    names = splits.class_names_of(lists, num_classes)
    rules = {"span": sampler.span, "class_names": names}
    if args.shard.is_merge:
        faults = check.merge_checks(lists, args.output, **rules)
    else:
        faults = check.check(lists, args.output, **rules, workers=args.workers, max_pixels=limit)
    _print_check(lists, faults, names)
    logger.info("%d faults; report: %s", len(faults), args.output / "report.json")
    for path, split in fixed:
        num_left = check.write_fixed(split, faults, args.fix or check.USELESS)
        logger.info("%s: %d of %d lines", path, num_left, len(split.entries))
    return 1 if faults else 0


def _say_share(args: argparse.Namespace, num_videos: int, failures: Sequence) -> int:
    """Exit code 1 if some videos of a shard failed; the merge writes files with all of them."""
    if failures:
        print(tabulate(failures[:_NUM_SHOWN], ["video", "reason"]))
    logger.info(
        "shard %s: %d videos, %d failures; once all shards have ended, --merge joins them in %s",
        *(args.shard, num_videos, len(failures), args.output),
    )
    return 1 if failures else 0


def _print_check(splits: list, faults: list, names: dict[int, str]) -> None:
    from slowfast.curation.check import count_classes

    rows = []
    for split in splits:
        counts = sorted(count_classes(split, names).values()) or [0]
        present = sum(count > 0 for count in counts)
        sizes = (counts[0], counts[len(counts) // 2], counts[-1])
        rows.append([split.name, len(split.entries), f"{present} of {len(names)}", *sizes])
    print(tabulate(rows, ["list", "entries", "classes", "smallest", "median", "largest"]))
    if not faults:
        return
    print()
    print(tabulate(Counter(fault.kind for fault in faults).items(), ["fault", "number"]))
    print()
    rows = [[f.kind, f"{f.split}:{f.line}" if f.line else f.split, *f[3:]] for f in faults]
    print(tabulate(rows[:_NUM_SHOWN], ["fault", "where", "path", "reason"]))
    if len(faults) > _NUM_SHOWN:
        print(f"... and {len(faults) - _NUM_SHOWN} more in faults.csv")


def add_prepare_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, "new folder", metavar="DIR", required=True)
    _add_list_arguments(parser, "lists `path label`; without, all videos below --videos")
    parser.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PIXELS",
        help="larger videos are scaled down to it; 0 keeps every size (default: %(default)s)",
    )
    parser.add_argument("--gop", type=int, help="frames between keyframes at most (default: 12)")
    parser.add_argument("--crf", type=int, help="x264's quality, smaller is better (default: 20)")
    parser.add_argument("--frames", action="store_true", help="JPEG files in place of videos")
    parser.add_argument("--fps", type=float, help="of --frames (default: every frame)")
    add_workers(parser)
    add_shard(parser)
    _add_max_pixels(parser)


def run_prepare(args: argparse.Namespace) -> int:
    """Exit code 1 if a video could not be converted."""
    from slowfast.curation.prepare import PrepareSettings, prepare_lists

    if args.frames:
        _refuse(args, ("gop", "crf"), "with --frames, only on videos")
    else:
        _refuse(args, ("fps",), "without --frames")
    if not args.csv:
        _refuse(args, ("separator",), "without --csv")
    given = {name: getattr(args, name) for name in ("gop", "crf", "fps", "max_pixels")}
    given = {name: value for name, value in given.items() if value is not None}
    settings = PrepareSettings(args.short_side, as_images=args.frames, **given)
    done, failures = prepare_lists(
        args.csv or (),
        args.videos,
        args.output,
        settings,
        separator=_separator(args),
        workers=args.workers,
        shard=args.shard,
    )
    if args.shard.is_share:
        return _say_share(args, len(done) + len(failures), failures)
    if failures:
        print(tabulate(failures[:_NUM_SHOWN], ["video", "reason"]))
    num_damaged = sum(bool(made.damage) for made in done.values())
    logger.info(
        "%d videos in %s (%d of them damaged), %d failures%s",
        *(len(done), args.output, num_damaged, len(failures)),
        ", all in failures.csv" if failures else "",
    )
    return 1 if failures else 0


def add_index_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, "for DATA.INDEX_FILE, best beside the videos", required=True)
    parser.add_argument("--videos", required=True, metavar="DIR", help="with all below it")
    add_workers(parser)
    add_shard(parser)
    _add_max_pixels(parser)


def run_index(args: argparse.Namespace) -> int:
    """Exit code 1 if a video could not be read."""
    from slowfast.curation.index import index_folder

    settings = {"workers": args.workers, "shard": args.shard, **_limit(args.max_pixels)}
    num_videos, failures = index_folder(args.output, args.videos, **settings)
    if args.shard.is_share:
        return _say_share(args, num_videos, list(failures.items()))
    if failures:
        print(tabulate(list(failures.items())[:_NUM_SHOWN], ["video", "reason"]))
    logger.info("%d videos, %d of them unreadable: %s", num_videos, len(failures), args.output)
    return 1 if failures else 0


def add_pack_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, "folder of tars", metavar="DIR", required=True)
    _add_list_arguments(parser, "lists `path label`; without, all videos below --videos")
    parser.add_argument(
        "--megabytes",
        type=at_least(1),
        default=1000,
        metavar="N",
        help="of videos in a tar, at most; a larger video has one of its own (default: 1000)",
    )
    add_workers(parser)
    add_shard(parser)


def run_pack(args: argparse.Namespace) -> int:
    """Exit code 1 if a video could not be packed."""
    from slowfast.curation.pack import pack_lists

    if not args.csv:
        _refuse(args, ("separator",), "without --csv")
    num_tars, num_videos, failures = pack_lists(
        args.csv or (),
        args.videos,
        args.output,
        tar_bytes=args.megabytes * 10**6,
        separator=_separator(args),
        workers=args.workers,
        shard=args.shard,
    )
    if args.shard.is_share:
        return _say_share(args, num_videos, failures)
    if failures:
        print(tabulate(failures[:_NUM_SHOWN], ["video", "reason"]))
    logger.info(
        "%d videos in %d tars in %s, %d failures%s",
        *(num_videos, num_tars, args.output, len(failures)),
        ", all in failures.csv" if failures else "",
    )
    return 1 if failures else 0


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    add_cfg(parser, "YAML file of a run")
    add_output(parser, "the picture (default: %(default)s)", default="sheet.png")
    parser.add_argument("--split", default="train", choices=["train", "val", "test"])
    parser.add_argument("--num", type=at_least(1), default=8, help="samples (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which ones, and their augmentation")
    add_overrides(parser)


def run_show(args: argparse.Namespace) -> int:
    """Draw the contact sheet."""
    from slowfast.config.cli import load_cfg
    from slowfast.config.derived import class_counts
    from slowfast.curation.contact_sheet import draw_contact_sheet
    from slowfast.datasets.build import build_dataset

    cfg = load_cfg(args.cfg, args.overrides)
    dataset, drawn = build_dataset(cfg, args.split), {"num": args.num, "seed": args.seed}
    counts = class_counts(cfg.MODEL.NUM_CLASSES)
    num = draw_contact_sheet(args.output, dataset, **drawn, counts=counts)
    if not num:
        count = min(args.num, len(dataset))
        raise ValueError(f"{args.split}: none of {count} videos could be read")
    logger.info("%d samples: %s", num, args.output)
    return 0


def add_kinetics_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser, "folder of our lists", metavar="DIR", type=Path, required=True)
    parser.add_argument("--train", required=True, type=Path, metavar="CSV")
    parser.add_argument("--val", required=True, type=Path, metavar="CSV")
    parser.add_argument("--test", type=Path, metavar="CSV", help="one with labels")
    parser.add_argument("--videos", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--subset",
        nargs="+",
        default=(),
        type=Path,
        metavar="FILE",
        help="only these: ids, class names or a list of ours, one per line (Mini-Kinetics-200)",
    )


def run_kinetics(args: argparse.Namespace) -> int:
    """Write our lists from the official ones."""
    from slowfast.curation.kinetics_lists import make_kinetics_lists

    annotations = {name: getattr(args, name) for name in ("train", "val", "test")}
    annotations = {name: path for name, path in annotations.items() if path}
    counts = make_kinetics_lists(annotations, args.videos, args.output, subset=args.subset)
    rows = [[split, *numbers] for split, numbers in counts.items()]
    print(tabulate(rows, ["list", "found", "missing"]))
    return 0


def _add_list_arguments(parser: argparse.ArgumentParser, help_text: str) -> None:
    parser.add_argument("--csv", nargs="+", metavar="FILE", help=help_text)
    parser.add_argument(
        "--videos", default="", metavar="DIR", help="where paths start (default: the list's folder)"
    )
    parser.add_argument("--separator", help="of path and label (default: a space)")


def _list_rules(args: argparse.Namespace):
    from slowfast.datasets.annotations.kinetics import ListRules, typed_separator

    return ListRules(
        args.list_format or "auto",
        typed_separator(_separator(args)),
        args.videos,
        None if args.num_classes is None else (args.num_classes,),
        is_multi_label=bool(args.multi_label),
    )


def _separator(args: argparse.Namespace) -> str:
    return " " if args.separator is None else args.separator


def _add_max_pixels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-pixels",
        type=at_least(1),
        metavar="N",
        help="larger frames are not read (default: as DATA.MAX_PIXELS, 67108864)",
    )


def _limit(max_pixels: int | None) -> dict[str, int]:
    return {} if max_pixels is None else {"max_pixels": max_pixels}


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    """ValueError for those of these arguments that were given: they have no effect `why`."""
    given = [
        f"--{name.replace('_', '-')}" for name in names if getattr(args, name) not in (None, "")
    ]
    if given:
        raise ValueError(f"{', '.join(given)}: no effect {why}")


_COMMANDS = {
    "check": Command("find faults in files, labels and lists", add_check_arguments, run_check),
    "prepare": Command("make videos small and quick to load", add_prepare_arguments, run_prepare),
    "index": Command("note frames and keyframes of videos", add_index_arguments, run_index),
    "pack": Command("pack videos into tars with an index", add_pack_arguments, run_pack),
    "show": Command("draw what the network sees", add_show_arguments, run_show),
    "kinetics-lists": Command("our lists from official ones", add_kinetics_arguments, run_kinetics),
}

if __name__ == "__main__":
    leave(main())
