"""JHMDB: 21 classes of HMDB51 with the outline of one person in every frame (J-HMDB-21)."""

from slowfast.config.node import ConfigNode
from slowfast.datasets.records import Annotations
from slowfast.datasets.tube_sets import TubeSet, build_tube_set

JHMDB = TubeSet(
    "jhmdb",
    class_names=(
        "brush_hair catch clap climb_stairs golf jump kick_ball pick pour pullup push run "
        "shoot_ball shoot_bow shoot_gun sit stand swing_baseball throw walk wave"
    ).split(),
    files=(
        "JHMDB-GT.pkl",
        "finalAnnots.mat",
        "splitfiles/finalAnnots.mat",
        "puppet_mask",
        "labels",
        "groundtruths_jhmdb",
    ),
)


def build_jhmdb(cfg: ConfigNode, split: str) -> Annotations:
    """Frames with boxes from one of the known files in DATA.PATH_TO_DATA_DIR."""
    return build_tube_set(cfg, split, JHMDB)
