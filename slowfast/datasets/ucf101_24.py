"""UCF101-24: 24 classes of UCF101 with boxes (corrected annotations of Singh et al.)."""

from slowfast.config.node import ConfigNode
from slowfast.datasets.records import Annotations
from slowfast.datasets.tube_sets import TubeSet, build_tube_set

UCF101_24 = TubeSet(
    "ucf101_24",
    class_names=(
        "Basketball BasketballDunk Biking CliffDiving CricketBowling Diving Fencing "
        "FloorGymnastics GolfSwing HorseRiding IceDancing LongJump PoleVault RopeClimbing "
        "SalsaSpin SkateBoarding Skiing Skijet SoccerJuggling Surfing TennisSwing "
        "TrampolineJumping VolleyballSpiking WalkingWithDog"
    ).split(),
    files=(
        "UCF101v2-GT.pkl",
        "finalAnnots.mat",
        "splitfiles/finalAnnots.mat",
        "labels",
        "groundtruths_ucf",
    ),
)


def build_ucf101_24(cfg: ConfigNode, split: str) -> Annotations:
    """Frames with boxes from one of the known files in DATA.PATH_TO_DATA_DIR."""
    return build_tube_set(cfg, split, UCF101_24)
