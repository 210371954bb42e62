"""A trained network, and clips of videos that it is to be explained on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slowfast.adaptive.calibrate import CALIBRATION_KEYS
from slowfast.adaptive.calibration_file import build_settings
from slowfast.adaptive.network import cut_network, find_statistics, load_for_evaluation
from slowfast.analysis.runs import draw_videos
from slowfast.analysis.why.layers import logits_given
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.datasets.build import build_clip_pack, build_dataset, build_views
from slowfast.datasets.clips.views import EvalViews
from slowfast.datasets.decoding.open import OpenVideo, open_frames
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import Record
from slowfast.engine.predict import find_videos, names_or_numbers
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.fold import fold_batch_norm
from slowfast.models.heads import scores_of
from slowfast.models.operating_point import OperatingPoint, build_full_point, build_reduce
from slowfast.runtime.device import place_model
from slowfast.tasks.base import Task
from slowfast.tasks.evaluate import build_evaluation_loop


@dataclass(frozen=True)
class ShownClip:
    """The middle clip of a video: C,T,H,W, values 0..255, and where it comes from.

    label: the video's class, -1 if it is unknown. numbers: of its frames in the video. fps: of the
    video.
    """

    path: str
    label: int
    clip: Tensor
    numbers: np.ndarray
    fps: float

    @property
    def grid(self) -> tuple[int, int, int]:
        """T,H,W."""
        return tuple(self.clip.shape[1:])

    @property
    def rate(self) -> float:
        """Frames of the clip per second of the video."""
        step = float(np.abs(np.diff(self.numbers)).mean()) if len(self.numbers) > 1 else 1.0
        return min(max(self.fps / max(step, 1.0), 1.0), 60.0)

    def frames(self) -> np.ndarray:
        """Pictures T,H,W,3 uint8; of other than three channels, their mean as grey."""
        values = self.clip.float().clamp(0, 255).permute(1, 2, 3, 0)  # C,T,H,W -> T,H,W,C
        if values.shape[-1] != 3:
            values = values.mean(-1, keepdim=True).expand(-1, -1, -1, 3)
        return values.round().to(torch.uint8).cpu().numpy()


@dataclass
class Subject:
    """The network in evaluation, by operating point ("" where it has but one), and its videos."""

    networks: dict[str, nn.Module]
    records: Sequence[Record]
    class_names: list[str]
    activation: str
    views: EvalViews
    pack: Callable[[Tensor], list[Tensor]]
    open_record: Callable[[Record], AbstractContextManager[OpenVideo]]
    task: Task
    device: torch.device

    @property
    def model(self) -> nn.Module:
        """The network, the first of several."""
        return next(iter(self.networks.values()))

    def clips(self) -> Iterator[ShownClip]:
        """The middle clip and crop of each video; ValueError for one that cannot be read."""
        for record in self.records:
            try:
                yield self._cut(record)
            except UnreadableVideo as error:
                raise ValueError(f"{record.name}: unreadable ({error})") from error

    def _cut(self, record: Record) -> ShownClip:
        views, rng = self.views, np.random.default_rng(0)
        with self.open_record(record) as video:
            all_numbers = views.frame_numbers(video.index, rng)
            numbers = all_numbers[len(all_numbers) // 2]
            clips = views.cut(video, [numbers]).clips
            fps = float(video.index.fps)
        return ShownClip(record.name, self._label(record), clips[len(clips) // 2], numbers, fps)

    def _label(self, record: Record) -> int:
        """The record's class, else the one that its folder is named after."""
        if record.label >= 0:
            return record.label
        folder = Path(record.path).parent.name
        return self.class_names.index(folder) if folder in self.class_names else -1

    def inputs(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Clips C,T,H,W as the network takes them: N,C,T,H,W for each pathway, normalised."""
        pathways = zip(*(self.pack(clip) for clip in clips), strict=True)
        batch = {"clips": [torch.stack(each) for each in pathways]}
        batch |= {key: torch.zeros(len(clips)) for key in self.task.moved}
        return self.task.prepare(batch, self.device)["clips"]

    def logits_of(self, clips: Sequence[Tensor]) -> Tensor:
        """Logits N,classes of clips C,T,H,W."""
        with logits_given(self.model), torch.no_grad():
            return self.model(self.inputs(clips)).float()

    def scores_of(self, logits: Tensor) -> np.ndarray:
        """Scores of the logits of one clip, by MODEL.HEAD_ACT."""
        return scores_of(logits[None], [logits.shape[-1]], self.activation)[0].cpu().numpy()


def named_records(words: Sequence[str]) -> list[Record]:
    """Records of video files, and of all those below folders."""
    records = [Record(str(path)) for path in find_videos(words)]
    for record in records:
        if not Path(record.path).is_file():
            raise ValueError(f"--videos: there is no file {record.path}")
    return records


def build_networks(
    cfg: ConfigNode, weights: Path, device: torch.device, points: Sequence[OperatingPoint]
) -> dict[str, nn.Module]:
    """The networks of operating points of an adaptive network, their batch norms folded."""
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("--at: only networks with ADAPTIVE.ENABLE True have operating points")
    model = place_model(build_model(cfg), device, cfg.MEMORY_FORMAT).eval()
    patterns = cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN
    load_for_test(model, weights, clear_name_patterns=patterns)
    full, networks = build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE), {}
    for point in points:
        point.check_within(full, min_width=cfg.ADAPTIVE.MIN_WIDTH)
        settings = build_settings(cfg, CALIBRATION_KEYS)
        found = None if point == full else find_statistics(weights, point, settings)
        cut = cut_network(model, point, found, build_reduce(cfg))
        inputs = build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE)
        networks[str(point)] = fold_batch_norm(cut, *inputs)
    return networks


def build_subject(
    cfg: ConfigNode,
    weights: Path,
    *,
    videos: Sequence[str] = (),
    num_videos: int = 4,
    points: Sequence[OperatingPoint] = (),
) -> Subject:
    """The network of a config with weights, and these videos, else some of the test split.

    points: see `build_networks`; without any it is the network of a test.
    """
    if videos and cfg.DATA.MODALITY != "rgb":
        raise ValueError("--videos: files are not read as flow; give a number of the test split")
    loop, counts = build_evaluation_loop(cfg), class_counts(cfg.MODEL.NUM_CLASSES)
    dataset = None if videos else build_dataset(cfg, "test")
    if dataset is not None:
        draw_videos(dataset, num_videos, seed=cfg.RNG_SEED)
    names = None if dataset is None else dataset.class_names
    loaded = load_for_evaluation(cfg, weights, loop.device, class_names=names)
    listed = Path(cfg.DATA.PATH_TO_DATA_DIR) / "classes.txt"
    names = names or loaded.class_names
    if names is None and listed.is_file():
        names = load_class_names(listed, sum(counts))
    networks = {"": loaded.model}
    return Subject(
        build_networks(cfg, weights, loop.device, points) if points else networks,
        named_records(videos) if dataset is None else dataset.records,
        names_or_numbers(names, counts),
        cfg.MODEL.HEAD_ACT,
        build_views(cfg, "test"),
        build_clip_pack(cfg, "test"),
        partial(open_frames, max_pixels=cfg.DATA.MAX_PIXELS)
        if dataset is None
        else dataset.open_record,
        loop.task,
        loop.device,
    )
