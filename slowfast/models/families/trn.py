"""TRN (arXiv 1711.08496): a network of single frames, and small networks over ordered subsets.

    stage      layers                                                        output, 8 frames
    s1 ... s5  BNInception, or a ResNet without temporal kernels             8 x 7 x 7
    head       average 7x7 of each frame; linear                             8 x 256
               for each scale s of 8, 7, ..., 2 frames: s frames in order;   num_subsets x 256
               ReLU, linear, ReLU; linear
               sum over scales and subsets                                   classes

The largest scale takes all frames, every other one a few subsets, drawn anew at each pass: in
training, and in the published code in tests, too. Here a test takes the same ones at each pass,
those of a seed or all of them. With one scale there are all frames, and 512 hidden features.

Names that released weights are given by checkpoint/frame_networks.py: head.embed,
head.relations.{i}, head.projection.{i}, scale by scale from the largest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.checks import register_rule
from slowfast.config.derived import adaptive_frames
from slowfast.config.node import ConfigNode
from slowfast.models.families.bninception import bninception_stages
from slowfast.models.families.tsn import build_frame_stages
from slowfast.models.heads import Classifier, build_classifier
from slowfast.models.layers import Linear
from slowfast.models.network import (
    VideoNetwork,
    assemble,
    build_init,
    refuse_nonlocal,
    single_pathway_channels,
)
from slowfast.models.norm import build_norm
from slowfast.models.widths import Dims, FixedWidth

_NAME = "TRN"
_DIM_MULTI, _DIM_SINGLE = 256, 512  # hidden features of a relation
_FIXED_LENGTH = "its relations are between a fixed number of frames"


@register_rule("MODEL.MODEL_NAME", "DATA", "ADAPTIVE", "MULTIGRID", "DETECTION.ENABLE", "TEST")
def check_trn(
    name: str,
    data: ConfigNode,
    adaptive: ConfigNode,
    grid: ConfigNode,
    is_detection: bool,
    test: ConfigNode,
) -> Iterator[str]:
    """Check that all clips have the frames that the relations are made for."""
    if name != _NAME:
        return
    if data.NUM_FRAMES < 2:
        yield f"DATA.NUM_FRAMES: {data.NUM_FRAMES} must be at least 2 for {_NAME}"
    frames = adaptive_frames(adaptive)
    if adaptive.ENABLE and any(number != data.NUM_FRAMES for number in frames):
        yield (
            f"ADAPTIVE.FRAMES: {frames} must be [{data.NUM_FRAMES}], "
            f"DATA.NUM_FRAMES, for {_NAME}, as in ADAPTIVE.POINTS: {_FIXED_LENGTH}"
        )
    if grid.LONG_CYCLE:
        yield f"MULTIGRID.LONG_CYCLE: True must be False for {_NAME}: {_FIXED_LENGTH}"
    if test.WHOLE_VIDEO not in (0, data.NUM_FRAMES):
        yield (
            f"TEST.WHOLE_VIDEO: {test.WHOLE_VIDEO} must be 0 or DATA.NUM_FRAMES "
            f"{data.NUM_FRAMES} for {_NAME}: {_FIXED_LENGTH}"
        )
    if is_detection:
        yield f"DETECTION.ENABLE: True must be False for {_NAME}, which has no maps in time"


@register_rule("MODEL.MODEL_NAME", "TRN")
def check_subsets(name: str, trn: ConfigNode) -> Iterator[str]:
    """Check that what is said of subsets has an effect."""
    if name == _NAME and trn.EVAL_SUBSETS == "all" and trn.EVAL_SEED:
        yield f"TRN.EVAL_SEED: {trn.EVAL_SEED} has no effect with TRN.EVAL_SUBSETS all"


Subset = tuple[int, ...]  # numbers of frames, in order


@dataclass(frozen=True)
class Scale:
    """Subsets of one number of frames.

    all: every one. evaluated: those that evaluation takes; the sum over them is multiplied by
    `factor`. num_drawn: how many training draws.
    """

    all: tuple[Subset, ...]
    evaluated: tuple[Subset, ...]
    num_drawn: int

    @property
    def num_frames(self) -> int:
        """Frames of a subset."""
        return len(self.all[0])

    @property
    def factor(self) -> float:
        """Weight of a subset in evaluation, so that their sum is as large as in training."""
        return self.num_drawn / len(self.evaluated)

    def draw(self) -> Tensor:
        """Numbers of different subsets from PyTorch's generator, which a run seeds for each step.

        A tensor, so that a compiled network is the same whatever is drawn.
        """
        if self.num_drawn == len(self.all):
            return torch.arange(len(self.all))
        return torch.randperm(len(self.all))[: self.num_drawn]


def all_frames(num_frames: int) -> Scale:
    """The scale of one subset, the whole clip."""
    whole = (tuple(range(num_frames)),)
    return Scale(whole, whole, 1)


def all_scales(num_frames: int, *, num_subsets: int, seed: int | None) -> list[Scale]:
    """From the whole clip down to pairs of frames, `num_subsets` of each but the first.

    seed: of the subsets in evaluation, drawn as NumPy's RandomState draws, scale by scale; None: it
    takes all.
    """
    rng = np.random.RandomState(seed)
    scales = [all_frames(num_frames)]
    for size in range(num_frames - 1, 1, -1):
        subsets = tuple(combinations(range(num_frames), size))
        num = min(num_subsets, len(subsets))
        evaluated = subsets
        if seed is not None:
            chosen = rng.choice(len(subsets), num, replace=False)
            evaluated = tuple(subsets[i] for i in chosen)
        scales.append(Scale(subsets, evaluated, num))
    return scales


class RelationClassifiers(nn.ModuleList):
    """A classifier for each scale, the logits of whose subsets are added up.

    Takes the hidden features of all subsets, N,subsets,C, and how many of these are of each scale,
    with the weight of each.
    """

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Classes of each target."""
        return self[0].class_counts

    def forward(self, x: Tensor, sizes: Sequence[tuple[int, float]]) -> Tensor:
        parts = x.split([num for num, _ in sizes], 1)
        logits = [
            classifier(part).sum(1) * weight
            for classifier, part, (_, weight) in zip(self, parts, sizes, strict=True)
        ]
        return torch.stack(logits).sum(0)


class RelationHead(nn.Module):
    """Head of TRN: features of each frame, hidden features of each subset, logits of each scale.

    `make_classifier` gives the classifier of hidden features of so many channels.
    Names that released weights are given: embed, relations, projection.
    """

    def __init__(
        self,
        dim_in: Dims,
        scales: Sequence[Scale],
        *,
        dim_frame: int,
        dim_hidden: int,
        dropout_rate: float,
        make_classifier: Callable[[int], Classifier],
    ):
        super().__init__()
        self.scales, self.dropout_rate = scales, dropout_rate
        for scale in scales:
            for kind, subsets in (("all", scale.all), ("evaluated", scale.evaluated)):
                name = f"{kind}_{scale.num_frames}"
                self.register_buffer(name, torch.tensor(subsets), persistent=False)
        self.embed = Linear(dim_in, dim_frame)
        self.relations = nn.ModuleList(
            Linear(FixedWidth(dim_frame * scale.num_frames), dim_hidden) for scale in scales
        )
        classifiers = [make_classifier(FixedWidth(dim_hidden)) for _ in scales]
        self.projection = RelationClassifiers(classifiers)

    def draw_weights(self) -> None:
        """Start the hidden layers as PyTorch does, rather than as classifiers."""
        for relation in self.relations:
            relation.reset_parameters()

    def forward(self, maps: list[Tensor], boxes: Tensor | None = None) -> Tensor:
        assert boxes is None, "this network classifies whole clips and takes no boxes"
        (x,) = maps
        num_frames = self.scales[0].num_frames
        if x.shape[2] != num_frames:
            raise ValueError(
                f"DATA.NUM_FRAMES: TRN relates {num_frames} frames, the clip has {x.shape[2]}"
            )
        x = x.mean((3, 4)).transpose(1, 2)  # N,C,T,H,W -> N,T,C
        x = F.relu(self.embed(F.dropout(x, self.dropout_rate, self.training)))
        hidden, sizes = [], []
        for scale, relation in zip(self.scales, self.relations, strict=True):
            subsets = self._subsets(scale)
            hidden.append(F.relu(relation(x[:, subsets].flatten(2))))  # N,subsets,frames * C
            sizes.append((len(subsets), 1.0 if self.training else scale.factor))
        logits = self.projection(torch.cat(hidden, 1), sizes)
        return self.projection[0].scores(logits, is_training=self.training)

    def _subsets(self, scale: Scale) -> Tensor:
        """Subsets drawn in training, or taken in evaluation: subsets,frames."""
        if self.training:
            return getattr(self, f"all_{scale.num_frames}")[scale.draw()]
        return getattr(self, f"evaluated_{scale.num_frames}")


def build_trunk(cfg: ConfigNode) -> tuple[dict[str, nn.Module], Dims]:
    """The stages s1 ... s5 of TRN.BACKBONE, and the channels of the last map's parts."""
    if cfg.TRN.BACKBONE == "ResNet":
        return build_frame_stages(cfg)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=_NAME)
    return bninception_stages(dim_clip, norm=build_norm(cfg))


def build_trn(cfg: ConfigNode) -> VideoNetwork:
    """The network that TRN.SCALES and TRN.BACKBONE describe."""
    trn, num_frames = cfg.TRN, cfg.DATA.NUM_FRAMES
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=_NAME)
    stages, dim = build_trunk(cfg)
    scales, dim_hidden = [all_frames(num_frames)], _DIM_SINGLE
    if trn.SCALES == "multi":
        seed = trn.EVAL_SEED if trn.EVAL_SUBSETS == "drawn" else None
        scales = all_scales(num_frames, num_subsets=trn.NUM_SUBSETS, seed=seed)
        dim_hidden = _DIM_MULTI
    head = RelationHead(
        dim,
        scales,
        dim_frame=trn.DIM_FRAME,
        dim_hidden=dim_hidden,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        make_classifier=partial(build_classifier, cfg),
    )
    return assemble(stages, head, build_init(cfg))
