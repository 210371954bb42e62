"""Train and test a video network: python tools/run_net.py --cfg X.yaml [KEY VALUE ...]"""

import logging
import os
import sys

from slowfast.config.cli import load_cfg_from_args, parse_args, save_run_config
from slowfast.datasets.build import build_dataset
from slowfast.engine.test import test
from slowfast.engine.train import train
from slowfast.models.complexity import build_complexity
from slowfast.runtime.launch import launch
from slowfast.utils.logging import setup_logging

logger = logging.getLogger("slowfast.run_net")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code; a user's mistake is one line (traceback: OUTPUT_DIR/stdout.log)."""
    args = parse_args(argv)
    is_main = os.environ.get("RANK", "0") == "0"  # torchrun starts this file once per process
    setup_logging(None, is_main=is_main)
    try:
        cfg = load_cfg_from_args(args)
        is_main = is_main and cfg.SHARD_ID == 0
        setup_logging(cfg.OUTPUT_DIR, is_main=is_main)
        if is_main:
            save_run_config(cfg, sys.argv if argv is None else [__file__, *argv])
            if cfg.LOG_MODEL_INFO:
                size = build_complexity(cfg)
                logger.info(
                    "%s: %.3f M parameters; GMACs per clip: %.3f training crop, %.3f test crop",
                    cfg.MODEL.MODEL_NAME,
                    size.params / 1e6,
                    size.macs_train / 1e9,
                    size.macs_test / 1e9,
                )
        if cfg.TRAIN.ENABLE and cfg.TEST.BUDGET:
            raise ValueError(
                f"TEST.BUDGET: {cfg.TEST.BUDGET!r} is chosen from a table of trained weights; it "
                "needs TRAIN.ENABLE False"
            )
        if cfg.TRAIN.ENABLE and cfg.TEST.ENABLE:
            build_dataset(cfg, "test")  # a mistake in its list shows before days of training
        runs = [train] * cfg.TRAIN.ENABLE + [test] * cfg.TEST.ENABLE
        launch(runs, cfg, args.init_method)
    except (ValueError, OSError) as error:
        logger.debug("traceback of the error below", exc_info=True)
        logger.error("%s: %s", type(error).__name__, error)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
