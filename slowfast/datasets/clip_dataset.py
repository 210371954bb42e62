"""The one dataset: records to clips. Splits differ in the views that are cut from a video."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from slowfast.datasets.decoding.open import OpenVideo, open_frames
from slowfast.datasets.decoding.stores import NoAnswer
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.labels import BoxLabels, LabelRule
from slowfast.datasets.records import Annotations, Record, SampledClips
from slowfast.utils.clip_shapes import BatchShape
from slowfast.utils.seeding import derive_seed

_MAX_TRIES = 20
_MANY = 2_000_000


class NoReadableVideo(ValueError):
    """A training sample and all its replacements are unreadable."""

    def __init__(self, message: str):
        # A DataLoader worker hands over its whole traceback as the message; its last part is what a
        # user needs.
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2])


class SampleKey(NamedTuple):
    """Index of a ClipDataset: position `index` of the records, in some epoch.

    shape: of the batch that the sample belongs to; None leaves clips as the views make them.
    repeat: how often the epoch had the record before, each time with other random numbers.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # the word of a tuple's method, which nobody needs
    shape: BatchShape | None = None
    repeat: int = 0


@dataclass
class Sample:
    """All views of one video: per pathway a tensor V,C,T,H,W; none when it is unreadable.

    clips: uint8, or float32 after resizing by torch; values 0..255, normalised on the device by
    `Task.prepare`. label: by the label rule. index: position in the records of the video that was
    read. failures: (index, reason) of those that were not. boxes, box_numbers: see SampledClips;
    box_labels: n,classes float32. num_broken: packets or image files of the video that were lost,
    of num_frames.
    """

    clips: list[torch.Tensor]
    label: int | torch.Tensor
    index: int
    failures: list[tuple[int, str]] = field(default_factory=list)
    boxes: torch.Tensor | None = None
    box_numbers: torch.Tensor | None = None
    box_labels: torch.Tensor | None = None
    num_broken: int = 0
    num_frames: int = 0


class Views(Protocol):
    """Cuts clips from a video. Those of whole videos that are judged have a `num_crops`, too."""

    @property
    def num_views(self) -> int:
        """Clips that are cut from each video."""

    def __call__(
        self, video: OpenVideo, record: Record, rng: np.random.Generator, /
    ) -> SampledClips:
        """The views of an open video."""


class TrainingViews(Views, Protocol):
    """Views of training, whose clips are smaller in some batches of multigrid training."""

    def resized(self, num_frames: int, crop_size: int, /) -> Views:
        """The same views with clips of another size."""


def _stack(clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """C,T,H,W clips as N,C,T,H,W in channels_last_3d memory, as decoded frames lie anyway."""
    channels, *rest = clips[0].shape
    stacked = torch.empty((len(clips), *rest, channels), dtype=clips[0].dtype)
    stacked = stacked.permute(0, 4, 1, 2, 3)  # N,T,H,W,C -> N,C,T,H,W
    for place, clip in zip(stacked, clips, strict=True):
        place.copy_(clip)
    return stacked


def pack_clips(
    clips: Sequence[torch.Tensor], pack: Callable[[torch.Tensor], list[torch.Tensor]]
) -> list[torch.Tensor]:
    """Clips C,T,H,W as one tensor N,C,T,H,W for each of the pathways that `pack` makes."""
    pathways = zip(*(pack(clip) for clip in clips), strict=True)
    return [_stack(clips) for clips in pathways]


class ClipDataset(Dataset):
    """Clips of videos, indexed by a SampleKey or the like, or by i for epoch 0.

    Randomness comes from (seed, epoch, i) alone, and the key's `repeat`. `pack` turns each clip of
    the views into its pathways. With `replace_unreadable` a drawn video takes the place of an
    unreadable one, else the sample has no clips. Views with boxes need `box_labels`.
    `open_record` opens the frames of a record, as `open_frames` does.
    """

    def __init__(
        self,
        annotations: Annotations,
        views: Views,
        *,
        label: LabelRule,
        pack: Callable[[torch.Tensor], list[torch.Tensor]],
        replace_unreadable: bool,
        seed: int,
        box_labels: BoxLabels | None = None,
        open_record: Callable[[Record], AbstractContextManager[OpenVideo]] = open_frames,
    ):
        self.records = annotations.records
        self.class_names, self.truth = annotations.class_names, annotations.truth
        self.list_path = annotations.list_path
        self.views, self.label, self.box_labels, self.pack = views, label, box_labels, pack
        self.replace_unreadable = replace_unreadable
        self.seed = seed
        self.open_record = open_record
        # Context around the reading of a record, which a loader may set.
        self.watch: Callable[[int], AbstractContextManager] = nullcontext

    @property
    def num_views(self) -> int:
        """Clips per video."""
        return self.views.num_views

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: int | tuple) -> Sample:
        key = SampleKey(*key) if isinstance(key, tuple) else SampleKey(0, key)
        epoch, index, shape, repeat = key
        views, index = self.views, int(index)
        if shape is not None:
            views = cast(TrainingViews, views).resized(shape.num_frames, shape.crop_size)
        place = (int(epoch), index, *([int(repeat)] if repeat else []))
        rng = np.random.default_rng(derive_seed("sample", self.seed, *place))
        failures: list[tuple[int, str]] = []
        for candidate in self._candidates(index, rng):
            try:
                sample = self._read(candidate, views, rng)
            except UnreadableVideo as error:
                failures.append((candidate, str(error)))
                if isinstance(error, NoAnswer):  # nor would there be one for any other video
                    raise NoReadableVideo(
                        f"{self.records[candidate].name}: {error} (DATA.READ_TIMEOUT); once the "
                        "store is back, the same command goes on from the last checkpoint"
                    ) from None
                continue
            sample.failures = failures
            return sample
        if not self.replace_unreadable:
            return Sample([], self.records[index].label, index, failures)
        named = "\n".join(f"  {self.records[i].name}: {reason}" for i, reason in failures)
        raise NoReadableVideo(f"{len(failures)} videos in a row are unreadable:\n{named}")

    def _candidates(self, index: int, rng: np.random.Generator) -> Iterator[int]:
        """The video itself, then in training others in its place."""
        yield index
        if self.replace_unreadable:
            # Drawn only when it is needed: a readable video has the generator to itself. A
            # permutation tries no video twice; to take the next record instead would make the
            # neighbours of damaged videos count more than others.
            count = len(self.records)
            if count > _MANY:  # a permutation of them takes a second, and as much memory as they
                others = rng.choice(count, _MAX_TRIES, replace=False)
            else:
                others = rng.permutation(count)
            yield from others[others != index][: _MAX_TRIES - 1].tolist()

    def _label_boxes(self, record: Record, sampled: SampledClips) -> torch.Tensor | None:
        if sampled.boxes is None:
            return None
        assert self.box_labels is not None, "views with boxes need box_labels"
        return self.box_labels(record, sampled)

    def _read(self, index: int, views: Views, rng: np.random.Generator) -> Sample:
        """From a record to clips and labels; the file is open no longer than frames are read."""
        record = self.records[index]
        with self.watch(index), self.open_record(record) as video:
            sampled, facts, num_broken = views(video, record, rng), video.index, video.num_broken
        return Sample(
            pack_clips(sampled.clips, self.pack),
            self.label(record, sampled, facts.fps),
            index,
            boxes=sampled.boxes,
            box_numbers=sampled.box_numbers,
            box_labels=self._label_boxes(record, sampled),
            num_broken=num_broken,
            num_frames=facts.num_frames,
        )
