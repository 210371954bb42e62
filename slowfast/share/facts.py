"""Facts of a config and of a test, as the model card says them."""

import re
from collections.abc import Mapping
from typing import Any

# Metrics of test_results.json -> their titles.
_METRICS = {"top1_acc": "top-1 accuracy", "top5_acc": "top-5 accuracy", "map": "mAP"}
_METRICS |= {"mean_class_acc": "mean class accuracy", "frame_map_voc": "frame-mAP"}
_LIMITS = (
    "It knows its classes alone, and gives one of them to any video, also to one that shows none.",
    "Numbers hold for videos like those of its dataset. Other cameras, places, people, frame rates "
    "and compression were not measured, nor was fairness between groups of people.",
    "Scores are not probabilities of being right unless the calibration error above is small.",
    "The terms of the dataset may limit the use of what was trained on it.",
)


def read_metrics(results: Mapping[str, Any], num_classes: int) -> dict[str, float]:
    """Titles and percents of the metrics that say something about so many classes."""
    found = {title: results.get(key) for key, title in _METRICS.items()}
    if num_classes <= 5:
        del found["top-5 accuracy"]
    return {n: v for n, v in found.items() if isinstance(v, float) and v == v}


def about_test(results: Mapping[str, Any]) -> str:
    """A sentence on the test, and on the intervals."""
    at = results.get("configuration")
    point = f", at the operating point {at} of {results['gmacs']:.2f} GMACs" if at else ""
    views = f", {results['views']} views of each" if results.get("views") else ""
    return (
        f"Test on {results.get('num_videos', 0):,} videos{views}{point}. 95 % intervals: of shares "
        "of videos Wilson's, of means over classes the bootstrap over videos."
    )


def input_rows(values: Mapping[str, Any], colours: str) -> list[tuple[str, str]]:
    """Rows on the clips that the network takes; values: of the config, by full key."""
    crop, length = values["DATA.TEST_CROP_SIZE"], values["DATA.NUM_FRAMES"]
    step, rate = values["DATA.SAMPLING_RATE"], values["DATA.TARGET_FPS"]
    mean, std = list(values["DATA.MEAN"]), list(values["DATA.STD"])
    views = values["TEST.NUM_ENSEMBLE_VIEWS"], values["TEST.NUM_SPATIAL_CROPS"]
    return [
        ("frames of a clip", f"{length}, one of {step:g} at {rate:g} a second"),
        ("crop", f"{crop} x {crop}"),
        ("values", f"{colours}, (pixel / 255 - {mean}) / {std}"),
        ("views of a video", "{} x {} (clips x crops)".format(*views)),
    ]


def training_rows(values: Mapping[str, Any], *, is_moving_average: bool) -> list[tuple[str, str]]:
    """Rows on how the weights were made."""
    start = re.split(r"[\\/]", values["TRAIN.CHECKPOINT_FILE_PATH"])[-1]
    average = f"moving average (TRAIN.EMA_DECAY {values['TRAIN.EMA_DECAY']:g}), as tested"
    batch = values["TRAIN.GLOBAL_BATCH_SIZE"] or values["TRAIN.BATCH_SIZE"]
    method, rate = values["SOLVER.OPTIMIZING_METHOD"], values["SOLVER.BASE_LR"]
    return [
        ("weights", average if is_moving_average else "of the last step"),
        ("started from", start or "random weights"),
        ("epochs", f"{values['SOLVER.MAX_EPOCH']:g}"),
        ("clips of a step", str(batch)),
        ("optimizer", f"{method}, learning rate {rate:g}"),
    ]


def limit_lines(values: Mapping[str, Any]) -> list[str]:
    """Sentences on what the network cannot do, and on what was not measured."""
    limits = list(_LIMITS)
    if code := [*values["IMPORTS"], *filter(None, [values["MODEL.FACTORY"]])]:
        limits.append(
            f"Its network is made by code that is not here ({', '.join(code)}): get it, and give "
            "`--cfg config.yaml`."
        )
    if values["ADAPTIVE.ENABLE"]:
        limits.append("Statistics of its operating points are not here: `slowfast budget table`.")
    return limits
