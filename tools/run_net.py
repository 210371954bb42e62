"""Train and test a video network: python tools/run_net.py --cfg X.yaml [KEY VALUE ...]"""

import argparse
import os
import sys

from slowfast.config.cli import load_cfg_from_args, parse_args
from slowfast.utils.cli import command_words, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code; the traceback of a user's mistake is in OUTPUT_DIR/stdout.log."""
    args = parse_args(argv)
    args.command = command_words(__file__, argv)
    return run_tool(run, args)


def run(args: argparse.Namespace) -> None:
    """Train and test as the config says."""
    from slowfast.runtime.slurm import join_tasks
    from slowfast.utils.logging import setup_logging

    join_tasks(args)
    setup_logging(None, is_main=os.environ.get("RANK", "0") == "0" and not args.shard_id)
    cfg = load_cfg_from_args(args)

    from slowfast.library.run import run_config  # after a mistake in the config has shown

    run_config(cfg, args.command, init_method=args.init_method)


if __name__ == "__main__":
    sys.exit(main())
