"""Detector of actions (S3D, arXiv 1712.04851, section 6): Faster R-CNN with a trunk for clips.

    part       layers                                                      sees
    proposals  2D ResNet to stride 16, region proposal network             the key frame
    s1 ... s4  the family's stages to stride 16                            the clip
    head       RoIAlign R x R at the same place of all times, their mean;  the maps of the clip
               linear, ReLU; classes | offsets of the box

All parts learn together. A box is the same for all classes. With softmax there is a background,
whose logit is always 0: softmax knows differences alone, so that this takes nothing away.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.node import ConfigNode
from slowfast.models.heads import ACTIVATIONS, Classifier, RegionMaps, build_classifier
from slowfast.models.network import VideoNetwork, build_init
from slowfast.models.widths import Dims, parts_of

# What torchvision's ResNets expect of values 0..1.
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BODY = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
# Of object detection in general: training of the proposals, and how many are compared.
_RPN = {
    "fg_iou_thresh": 0.7,
    "bg_iou_thresh": 0.3,
    "batch_size_per_image": 256,
    "positive_fraction": 0.5,
    "nms_thresh": 0.7,
}
_CANDIDATES_EACH = 7  # times the proposals that are kept, before overlapping ones are dropped
# Offsets are divided by about their spread (Faster R-CNN, arXiv 1506.01497, as released).
_SCALES = (10.0, 10.0, 5.0, 5.0)
_LARGEST_LOG_RATIO = math.log(1000 / 16)  # keeps exp within bounds where training begins
# A proposal that overlaps a true box by so much shows it; of the boxes to learn from a quarter do.
_MIN_IOU = 0.5
_SHARE_OF_POSITIVES = 4
# Rows of `best_detections`: x1,y1,x2,y2, class, score.
NUM_COLUMNS = 6
_LEAST_SCORE = 1e-3


def encode(boxes: Tensor, references: Tensor) -> Tensor:
    """Offsets n,4 from the boxes `references`: of the centre, in sizes; logarithms of ratios."""
    (x, y, width, height), (x0, y0, width0, height0) = map(_center_and_size, (boxes, references))
    offsets = [(x - x0) / width0, (y - y0) / height0]
    offsets += [(width / width0).log(), (height / height0).log()]
    return torch.stack(offsets, 1) * boxes.new_tensor(_SCALES)


def decode(offsets: Tensor, references: Tensor) -> Tensor:
    """The boxes that have these offsets from `references`."""
    x0, y0, width0, height0 = _center_and_size(references)
    dx, dy, log_width, log_height = (offsets / offsets.new_tensor(_SCALES)).unbind(1)
    x, y = x0 + dx * width0, y0 + dy * height0
    half_width = log_width.clamp(max=_LARGEST_LOG_RATIO).exp() * width0 / 2
    half_height = log_height.clamp(max=_LARGEST_LOG_RATIO).exp() * height0 / 2
    corners = [x - half_width, y - half_height, x + half_width, y + half_height]
    return torch.stack(corners, 1)


def _center_and_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1).clamp(min=1e-3), (y2 - y1).clamp(min=1e-3)


def sample_regions(
    proposals: Tensor, truth: Tensor, labels: Tensor, *, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """At most `count` boxes to learn from, their classes S,classes and the true boxes they show.

    Drawn from proposals and true boxes, at most a quarter of those that show a true box. The others
    have no class, and their true box means nothing.
    """
    from torchvision.ops import box_iou

    if not len(truth):  # a box without area overlaps nothing
        truth, labels = truth.new_zeros(1, 4), labels.new_zeros(1, labels.shape[1])
    boxes = torch.cat([proposals, truth])
    overlap, nearest = box_iou(boxes, truth).max(1)
    is_positive = (overlap >= _MIN_IOU) & labels[nearest].any(1)
    positive = _draw(is_positive, max(count // _SHARE_OF_POSITIVES, 1))
    chosen = torch.cat([positive, _draw(~is_positive, count - len(positive))])
    own_labels = labels[nearest[chosen]] * is_positive[chosen, None]
    return boxes[chosen], own_labels, truth[nearest[chosen]]


def _draw(is_candidate: Tensor, most: int) -> Tensor:
    """Numbers of at most so many of the candidates."""
    numbers = is_candidate.nonzero().flatten()
    return numbers[torch.randperm(len(numbers), device=numbers.device)[:most]]


def best_detections(boxes: Tensor, scores: Tensor, *, max_iou: float, most: int) -> Tensor:
    """Rows most,6 of a clip (x1,y1,x2,y2, class, score), best first; those left over have class -1.

    boxes: P,4. scores: P,classes. Of boxes of one class that overlap by more than `max_iou` the
    best one stays.
    """
    from torchvision.ops import batched_nms

    has_area = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)
    places, labels = ((scores > _LEAST_SCORE) & has_area[:, None]).nonzero(as_tuple=True)
    found, own_scores = boxes[places], scores[places, labels]
    kept = batched_nms(found, own_scores, labels, max_iou)[:most]
    rows = scores.new_zeros(most, NUM_COLUMNS)
    rows[:, 4] = -1
    columns = (found[kept], labels[kept, None].to(scores), own_scores[kept, None])
    rows[: len(kept)] = torch.cat(columns, 1)
    return rows


class ProposalNetwork(nn.Module):
    """A ResNet for images up to its stride of 16, and torchvision's region proposal network.

    factors, shifts: of each channel, from the values of clips to those that `body` knows. Names
    fixed by torchvision: body.{conv1,bn1,layer1,layer2,layer3}.
    """

    def __init__(
        self, body: nn.Module, rpn: nn.Module, factors: Sequence[float], shifts: Sequence[float]
    ):
        super().__init__()
        self.body, self.rpn = body, rpn
        for name, values in (("factors", factors), ("shifts", shifts)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def features(self, frames: Tensor) -> Tensor:
        """Maps of frames N,C,H,W, in float32."""
        return self.body(frames * self.factors + self.shifts).float()

    def forward(
        self, frames: Tensor, truth: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], Mapping[str, Tensor]]:
        """Proposals P,4 of each frame in its pixels; losses of training for the true boxes n,4.

        A loss is the mean over the frames, so that it does not matter how many a process has.
        """
        features = self.features(frames)
        with torch.autocast(frames.device.type, enabled=False):
            if truth is None:
                return self._propose(frames, features, None)
            parts = [tensor.split(1) for tensor in (frames, features)]
            each = [self._propose(*own) for own in zip(*parts, truth, strict=True)]
        proposals, losses = zip(*each, strict=True)
        means = {name: torch.stack([own[name] for own in losses]).mean() for name in losses[0]}
        return [boxes for own in proposals for boxes in own], means

    def _propose(
        self, frames: Tensor, features: Tensor, truth: Tensor | None
    ) -> tuple[list[Tensor], Mapping[str, Tensor]]:
        """truth: of the only frame."""
        from torchvision.models.detection.image_list import ImageList

        images = ImageList(frames, [tuple(frames.shape[-2:])] * len(frames))
        targets = None if truth is None else [{"boxes": truth}]
        return self.rpn(images, {"0": features}, targets)

    def objectness(self, frames: Tensor) -> Tensor:
        """Logits by which proposals are chosen: all multiply-adds that they cost."""
        return self.rpn.head([self.features(frames)])[0][0]


def _make_body(name: str, dim_in: int) -> tuple[nn.Sequential, int]:
    """torchvision's ResNet of that name without its last stage, and the channels of its maps."""
    from torchvision import models

    resnet = getattr(models, name)(weights=None)
    if dim_in != resnet.conv1.in_channels:  # optical flow
        resnet.conv1 = nn.Conv2d(dim_in, 64, 7, stride=2, padding=3, bias=False)
    parts = OrderedDict((part, getattr(resnet, part)) for part in _BODY)
    return nn.Sequential(parts), resnet.fc.in_features // 2


def _make_rpn(dim: int, sizes: Sequence[int], ratios: Sequence[float], count: int) -> nn.Module:
    """torchvision's network on one map of `dim` channels."""
    from torchvision.models.detection.rpn import AnchorGenerator, RegionProposalNetwork, RPNHead

    anchors = AnchorGenerator((tuple(sizes),), (tuple(ratios),))
    head = RPNHead(dim, anchors.num_anchors_per_location()[0])
    candidates = dict.fromkeys(("training", "testing"), _CANDIDATES_EACH * count)
    return RegionProposalNetwork(
        anchors,
        head,
        pre_nms_top_n=candidates,
        post_nms_top_n=dict.fromkeys(("training", "testing"), count),
        **_RPN,
    )


class Learned(NamedTuple):
    """Output in training: S boxes that were drawn from all clips, and the losses of the proposals.

    labels: S,classes, none where a box shows nothing. offsets: S,4 as predicted; true_offsets: what
    they should be, where a box has a class. weights: S, of each box in a mean over the clips.
    """

    logits: Tensor
    labels: Tensor
    offsets: Tensor
    true_offsets: Tensor
    weights: Tensor
    objectness_loss: Tensor
    proposal_loss: Tensor


class BoxHead(nn.Module):
    """Classes and a better box for each of the boxes M,5, from the maps of their clips.

    Name fixed by the other heads: projection.
    """

    def __init__(self, regions: RegionMaps, dim_in: Dims, dim_hidden: int, classifier: Classifier):
        super().__init__()
        self.regions = regions
        self.hidden = nn.Linear(sum(parts_of(dim_in)) * regions.resolution**2, dim_hidden)
        self.projection = classifier
        self.offsets = nn.Linear(dim_hidden, 4)

    def forward(self, maps: Sequence[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits M,classes and offsets M,4."""
        (x,) = maps
        x = F.relu(self.hidden(self.regions(x, boxes).flatten(1)))  # M,C,R,R -> M,hidden
        x = F.dropout(x, self.projection.dropout_rate, self.training)
        return self.projection(x), self.offsets(x).float()

    def scores(self, logits: Tensor) -> Tensor:
        """Scores of the classes; with softmax those of the background are left out."""
        if self.projection.activation != "softmax":
            return ACTIVATIONS[self.projection.activation](logits)
        return with_background(logits).softmax(-1)[:, 1:]


def with_background(logits: Tensor) -> Tensor:
    """M,classes -> M,1+classes, with the logit 0 of the background first."""
    return F.pad(logits, (1, 0))


class DetectorNetwork(VideoNetwork):
    """A network that finds boxes in the key frame, the middle of a clip, and classifies them.

    num_sampled: boxes of each clip that the head learns from. select: from boxes P,4 and scores
    P,classes of a clip to rows of detections.
    """

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: BoxHead,
        proposals: ProposalNetwork,
        *,
        num_sampled: int,
        select: Callable[[Tensor, Tensor], Tensor],
    ):
        super().__init__(stages, head)
        self.proposals = proposals
        self._num_sampled, self._select = num_sampled, select

    @property
    def trunk(self) -> VideoNetwork:
        """The same modules without the proposals, a network for boxes that are given."""
        stages = {name: getattr(self, name) for name in self._stage_names}
        return VideoNetwork(stages, self.head)

    def forward(
        self, clips: list[Tensor], boxes: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor | Learned:
        """Detections N,D,6 of clips N,C,T,H,W: x1,y1,x2,y2 in pixels, class, score; class -1: none.

        In training the true boxes M,5 (number of the clip, x1, y1, x2, y2) and labels M,classes
        come along; without labels it only passes batch norms, whose statistics may be wanted. In
        evaluation scores M,classes of boxes that are given, at the cost of finding one.
        """
        maps = self.forward_features(clips)
        frames = clips[0][:, :, clips[0].shape[2] // 2]  # N,C,T,H,W -> N,C,H,W
        if labels is not None:
            return self._learn(maps, frames, boxes, labels)
        if boxes is None and not self.training:
            return self._find(maps, frames)
        self.proposals.objectness(frames)
        if boxes is None:
            boxes = clips[0].new_zeros(0, 5)
        return self.head.scores(self.head(maps, boxes)[0])

    def _find(self, maps: list[Tensor], frames: Tensor) -> Tensor:
        proposals, _ = self.proposals(frames)
        logits, offsets = self.head(maps, _numbered(proposals))
        height, width = frames.shape[-2:]
        found = decode(offsets, torch.cat(proposals))
        found = found.clamp(min=0).minimum(found.new_tensor([width, height, width, height]))
        counts = [len(boxes) for boxes in proposals]
        pairs = zip(found.split(counts), self.head.scores(logits).split(counts), strict=True)
        return torch.stack([self._select(boxes, scores) for boxes, scores in pairs])

    def _learn(self, maps: list[Tensor], frames: Tensor, boxes: Tensor, labels: Tensor) -> Learned:
        is_of = [boxes[:, 0] == number for number in range(len(frames))]
        truth = [boxes[own, 1:] for own in is_of]
        proposals, losses = self.proposals(frames, truth)
        drawn = [
            sample_regions(proposed.detach(), true, labels[own], count=self._num_sampled)
            for proposed, true, own in zip(proposals, truth, is_of, strict=True)
        ]
        regions, own_labels, shown = zip(*drawn, strict=True)
        logits, offsets = self.head(maps, _numbered(regions))
        zero = offsets.new_zeros(())  # proposals that are frozen have no losses
        return Learned(
            logits,
            torch.cat(own_labels),
            offsets,
            encode(torch.cat(shown), torch.cat(regions)),
            torch.cat([x.new_full((len(x),), 1 / (len(x) * len(regions))) for x in own_labels]),
            losses.get("loss_objectness", zero),
            losses.get("loss_rpn_box_reg", zero),
        )


def _numbered(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes n,4 of each clip -> M,5 with the number of their clip first."""
    numbers = [torch.full((len(own), 1), float(n)).to(own) for n, own in enumerate(boxes)]
    return torch.cat([torch.cat(pair, 1) for pair in zip(numbers, boxes, strict=True)])


def build_proposals(cfg: ConfigNode) -> ProposalNetwork:
    """The network that finds boxes in key frames, with torchvision's initial weights."""
    detection, data = cfg.DETECTION, cfg.DATA
    body, dim = _make_body(detection.RPN_BACKBONE, data.INPUT_CHANNEL_NUM[0])
    rpn = _make_rpn(dim, detection.ANCHOR_SIZES, detection.ANCHOR_RATIOS, detection.NUM_PROPOSALS)
    factors, shifts = [1.0] * len(data.MEAN), [0.0] * len(data.MEAN)
    if data.MODALITY == "rgb":
        pairs = zip(data.STD, _IMAGENET_STD, strict=True)
        factors = [std / other for std, other in pairs]
        triples = zip(data.MEAN, _IMAGENET_MEAN, _IMAGENET_STD, strict=True)
        shifts = [(mean - other) / std for mean, other, std in triples]
    return ProposalNetwork(body, rpn, factors, shifts)


def build_detector(
    cfg: ConfigNode, stages: Mapping[str, nn.Module], dim_in: Dims, *, map_stride: int
) -> DetectorNetwork:
    """The detector around a trunk, whose last maps have `dim_in` channels, one pathway."""
    detection = cfg.DETECTION
    regions = RegionMaps(map_stride, detection.ROI_XFORM_RESOLUTION, detection.ALIGNED)
    dim_hidden = detection.HEAD_DIM
    head = BoxHead(regions, dim_in, dim_hidden, build_classifier(cfg, dim_hidden))
    trunk = VideoNetwork(stages, head)
    build_init(cfg)(trunk)
    nn.init.xavier_uniform_(head.hidden.weight)
    nn.init.normal_(head.offsets.weight, std=1e-3)

    limits = {"max_iou": detection.NMS_IOU, "most": detection.MAX_DETECTIONS}
    return DetectorNetwork(
        stages,
        head,
        build_proposals(cfg),
        num_sampled=detection.NUM_SAMPLED,
        select=partial(best_detections, **limits),
    )
