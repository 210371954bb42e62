"""Readers of exported files, one row of READERS each, and the network that such a file is.

All run on the CPU with as many threads as torch.
"""

import json
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slowfast.config.node import ConfigNode, flatten
from slowfast.export.formats import FACTS, FACTS_FILE, check_installed
from slowfast.models.build import build_meta_inputs
from slowfast.utils.io import check_is_file

# Scores of clips, one tensor for each pathway.
Run = Callable[[Sequence[Tensor]], Tensor]
# Precisions of OpenVINO by the names of torch.
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def _read_pt2(path: Path, _precision: str) -> tuple[Run, str]:
    if not zipfile.is_zipfile(path):  # torch would try other ways, and write tracebacks
        raise ValueError("it is no archive")
    extra = {FACTS_FILE: ""}
    module = torch.export.load(path, extra_files=extra).module()
    return lambda clips: module(*clips), extra[FACTS_FILE]


def _read_torchscript(path: Path, _precision: str) -> tuple[Run, str]:
    extra = {FACTS_FILE: ""}
    module = torch.jit.load(str(path), _extra_files=extra)
    text = extra[FACTS_FILE]
    return lambda clips: module(*clips), text.decode() if isinstance(text, bytes) else text


def _read_onnx(path: Path, _precision: str) -> tuple[Run, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]

    def run(clips: Sequence[Tensor]) -> Tensor:
        arrays = (clip.numpy() for clip in clips)
        return torch.from_numpy(session.run(None, dict(zip(names, arrays, strict=True)))[0])

    return run, session.get_modelmeta().custom_metadata_map.get(FACTS, "")


def _read_openvino(path: Path, precision: str) -> tuple[Run, str]:
    import openvino

    model = openvino.Core().read_model(path)
    run = compile_openvino(model, precision)
    has_facts = model.has_rt_info([FACTS])
    return run, model.get_rt_info([FACTS]).astype(str) if has_facts else ""


def compile_openvino(model: Any, precision: str = "float32") -> Run:
    """Scores by an OpenVINO model; by itself it would take bfloat16 where a processor has it."""
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run(clips: Sequence[Tensor]) -> Tensor:
        found = request.infer([clip.contiguous().numpy() for clip in clips])
        return torch.from_numpy(next(iter(found.values())).copy())

    return run


@dataclass(frozen=True)
class Reader:
    """`load(path, precision)` -> what runs the file, and its facts as text, "" without any."""

    load: Callable[[Path, str], tuple[Run, str]]
    packages: tuple[str, ...] = ()


# (--backend, suffix) -> reader. Files of other suffixes are weights, which torch alone takes.
READERS = {
    ("torch", ".pt2"): Reader(_read_pt2),
    ("torch", ".torchscript"): Reader(_read_torchscript),
    ("onnxruntime", ".onnx"): Reader(_read_onnx, ("onnxruntime",)),
    ("openvino", ".xml"): Reader(_read_openvino, ("openvino",)),
}
BACKENDS = tuple(dict.fromkeys(backend for backend, _ in READERS))


def is_exported(path: str | Path) -> bool:
    """True for the name of a file that was exported."""
    return any(Path(path).suffix == suffix for _, suffix in READERS)


@dataclass(frozen=True)
class ExportedNetwork:
    """The network in an exported file: called as one in evaluation, on the CPU, float32.

    A file for a fixed number of clips gets so many at once, where fewer are left some twice.
    """

    path: Path
    run: Run
    facts: Mapping[str, Any]

    row = None  # of a table of budgets

    @property
    def model(self) -> "ExportedNetwork":
        return self

    @property
    def class_names(self) -> list[str] | None:
        """Names that the checkpoint had; None if it had none."""
        return self.facts["class_names"]

    def __call__(self, clips: Sequence[Tensor], boxes: None = None) -> Tensor:
        count, at_once = len(clips[0]), self.facts["num_clips"]
        if at_once is None:
            return self.run(clips)
        scores = []
        for start in range(0, count, at_once):
            # The last ones again where fewer are left.
            index = torch.arange(start, start + at_once).clamp(max=count - 1)
            scores.append(self.run([clip[index] for clip in clips]))
        return torch.cat(scores)[:count]


def read_exported(path: str | Path, backend: str, *, precision: str = "float32") -> ExportedNetwork:
    """The network in a file; ValueError unless it was exported here, for this backend.

    precision: float32, or bfloat16 for OpenVINO, which then computes so where the processor can.
    """
    path = Path(path)
    reader = READERS.get((backend, path.suffix))
    if reader is None:
        suffixes = [suffix for name, suffix in READERS if name == backend]
        raise ValueError(
            f"{path}: --backend {backend} reads {', '.join(suffixes)}, which tools/export.py writes"
        )
    check_installed(reader.packages, f"--backend {backend}")
    check_is_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about torch
            run, text = reader.load(path, precision)
    except Exception as error:  # of a damaged file; each library has errors of its own
        raise ValueError(f"{path}: not a file for {backend} ({_first_line(error)})") from error
    if not text:
        raise ValueError(f"{path}: has no facts on its network: it is not from tools/export.py")
    return ExportedNetwork(path, run, json.loads(text))


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def build_exported(cfg: ConfigNode, path: str | Path, backend: str) -> ExportedNetwork:
    """The network in a file, for clips of the config's tests; ValueError where they do not fit."""
    if cfg.TEST.BUDGET:
        raise ValueError(f"TEST.BUDGET: {cfg.TEST.BUDGET!r} must be '' with an exported network")
    is_half = cfg.TEST.PRECISION == "bfloat16"
    if is_half and backend != "openvino":
        raise ValueError(
            "TEST.PRECISION: 'bfloat16' has no effect on an exported network, whose file decides; "
            "leave it out, or take --backend openvino"
        )
    network = read_exported(path, backend, precision="bfloat16" if is_half else "float32")
    num_frames = cfg.TEST.WHOLE_VIDEO
    meta = build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE, num_frames=num_frames)[0]
    for given, clip in zip(network.facts["inputs"], meta, strict=True):
        if given["shape"][1:] != list(clip.shape[1:]):
            raise ValueError(
                f"{path}: takes clips C,T,H,W of {given['shape'][1:]}, the tests of this config "
                f"have {list(clip.shape[1:])}: export it with the sizes of the config"
            )
    values = dict(flatten(cfg))
    for key in ("DATA.MEAN", "DATA.STD", "MODEL.NUM_CLASSES"):
        if network.facts["config"][key] != json.loads(json.dumps(values[key])):
            raise ValueError(
                f"{key}: {values[key]}, but {path} was exported with {network.facts['config'][key]}"
            )
    return network
