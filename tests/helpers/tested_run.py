"""OUTPUT_DIR of a run that was never trained."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slowfast.config.defaults import get_cfg


def write_tested_run(
    folder: Path,
    is_right: Sequence[bool],
    options: Sequence = (),
    *,
    labels: Sequence[int] | None = None,
    paths: Sequence[str] | None = None,
) -> Path:
    """A tested run of six classes that has these of its videos right, the others as the next class.

    options: KEY VALUE ... of its config. labels, paths: of its videos; by default all classes in
    turn, and numbered files.
    """
    folder.mkdir(parents=True)
    cfg = get_cfg()
    model = ["MODEL.MODEL_NAME", "X3D", "X3D.DEPTH_FACTOR", 1.0, "DATA.NUM_FRAMES", 4]
    crops = ["DATA.TRAIN_CROP_SIZE", 32, "DATA.TEST_CROP_SIZE", 32, "MODEL.NUM_CLASSES", 6]
    crops += ["DATA.INPUT_CHANNEL_NUM", [3], "RESNET.TRANS_FUNC", "x3d_transform"]
    cfg.merge_from_list([*model, *crops, *options, "OUTPUT_DIR", str(folder)])
    (folder / "config.yaml").write_text(cfg.dump())
    right = np.array(is_right)
    labels = np.arange(len(right)) % 6 if labels is None else np.array(labels)
    paths = [f"/set/{n:03}.mp4" for n in range(len(right))] if paths is None else list(paths)
    scores = np.eye(6, dtype=np.float32)[np.where(right, labels, (labels + 1) % 6)]
    seen = np.ones((len(right), 1), bool)
    files = {"scores": scores[:, None], "seen": seen, "paths": paths, "labels": labels}
    np.savez(folder / "test_scores.npz", **files)
    results = {"top1_acc": 100.0 * right.mean(), "num_videos": len(right), "ensemble": "sum"}
    (folder / "test_results.json").write_text(json.dumps(results))
    epochs = [
        {"_type": kind, "epoch": f"{n}/2", "loss": 2.0 / n, "top1_acc": 40.0 * n, "seconds": 5.0}
        for n in (1, 2)
        for kind in ("train_epoch", "val_epoch")
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in epochs))
    return folder
