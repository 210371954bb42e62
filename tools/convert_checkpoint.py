"""Turn a checkpoint of any known kind into one of this project's, for the model of a config.

python tools/convert_checkpoint.py SLOWFAST_8x8_R50.pkl slowfast.pyth --cfg SLOWFAST_8x8_R50.yaml
python tools/convert_checkpoint.py resnet50.pth i3d.pyth --cfg I3D_8x8_R50.yaml   # 2D -> 3D
"""

import argparse
import sys
from pathlib import Path

import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import convert_file
from slowfast.config.cli import load_cfg
from slowfast.models import build_model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="IN", help="PyTorch or Caffe2 file")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write")
    parser.add_argument(
        "--cfg", required=True, type=Path, metavar="YAML", help="the model's config"
    )
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="overrides of the config")
    args = parser.parse_intermixed_args(argv)

    try:
        cfg = load_cfg(args.cfg, args.opts)
        with torch.device("meta"):
            model = build_model(cfg)
        state, report = convert_file(
            model,
            args.source,
            clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN,
            min_coverage=cfg.TRAIN.CHECKPOINT_MIN_COVERAGE,
        )
        print(report.table())
        names = {"class_names": report.class_names} if report.class_names else {}
        files.save(args.target, {"model_state": state, **names})
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"wrote {args.target}: {len(state)} tensors")
    if incomplete := len(report.missing) + len(report.mismatched) + len(report.replaced):
        print(
            f"not complete: {incomplete} of the model's tensors are not in it; fine-tune it first"
        )


if __name__ == "__main__":
    main()
