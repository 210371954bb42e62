"""Formats of exported networks, one row of FORMATS each.

All are made from a program, the network as torch.export sees it: tests' folded network with the
activation of its head. Each pathway's clip is an argument of its own, and may lie in memory in any
order. Facts about the network, a text, are stored inside of each file under the name `FACTS`.
"""

import copy
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from slowfast.models.conv import Conv3d

FACTS = "slowfast"
FACTS_FILE = f"{FACTS}.json"  # in archives
OUTPUT = "scores"


class PathwayArguments(nn.Module):
    """Takes a clip N,C,T,H,W for each pathway, one by one, and gives the network their list."""

    def __init__(self, network: nn.Module, layout: torch.memory_format):
        super().__init__()
        self.network, self.layout = network, layout

    def forward(self, *clips: Tensor) -> Tensor:
        # Recorded in the program, so that it may rely on this order wherever its clips come from.
        return self.network([clip.contiguous(memory_format=self.layout) for clip in clips])


def plain_convolutions(network: nn.Module) -> nn.Module:
    """A copy whose convolutions are nn.Conv3d: the folds that make torch fast slow others down."""
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if type(module) is Conv3d:
            module.__class__ = nn.Conv3d
    return plain


def trace_program(
    network: nn.Module, shapes: Sequence[Sequence[int]], *, is_dynamic: bool, is_for_torch: bool
) -> ExportedProgram:
    """The network's program for clips of `shapes`; `is_dynamic`: for any number of them.

    is_for_torch: it will be torch that runs it. ValueError where the network fixes the number by
    what it computes.
    """
    module = PathwayArguments(network, torch.channels_last_3d)
    if not is_for_torch:
        module = PathwayArguments(plain_convolutions(network), torch.contiguous_format)
    num_clips = max(shapes[0][0], 2 if is_dynamic else 1)  # torch.export takes 1 for a constant
    clips = tuple(torch.zeros(num_clips, *shape[1:]) for shape in shapes)
    sizes = (tuple({0: Dim("batch", max=1 << 16)} for _ in clips),) if is_dynamic else None
    try:
        with torch.no_grad():
            return torch.export.export(module, clips, dynamic_shapes=sizes)
    except torch._dynamo.exc.UserError as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"--dynamic: not with this network, say --batch ({reason})") from error


def pathway_names(num_pathways: int) -> list[str]:
    """Names of the inputs of an exported network."""
    known = {1: ["clip"], 2: ["slow", "fast"]}
    return known.get(num_pathways, [f"clip{number}" for number in range(num_pathways)])


def _num_inputs(program: ExportedProgram) -> int:
    return len(program.graph_signature.user_inputs)


def _write_pt2(program: ExportedProgram, path: Path, facts: str) -> None:
    torch.export.save(program, path, extra_files={FACTS_FILE: facts})


def _write_torchscript(program: ExportedProgram, path: Path, facts: str) -> None:
    clips = program.example_inputs[0]
    with torch.no_grad():
        script = torch.jit.trace(program.module(), clips, check_trace=False)
    torch.jit.save(script, str(path), _extra_files={FACTS_FILE: facts})


def _write_onnx(program: ExportedProgram, path: Path, facts: str) -> None:
    names = pathway_names(_num_inputs(program))
    written = torch.onnx.export(
        program, dynamo=True, input_names=names, output_names=[OUTPUT], verbose=False
    )
    written.model.metadata_props[FACTS] = facts
    written.save(path)


def _write_openvino(program: ExportedProgram, path: Path, facts: str) -> None:
    import openvino

    model = openvino.convert_model(program)
    for port, name in zip(model.inputs, pathway_names(len(model.inputs)), strict=True):
        port.get_tensor().set_names({name})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    model.set_rt_info(facts, [FACTS])
    openvino.save_model(model, path, compress_to_fp16=False)


@dataclass(frozen=True)
class Format:
    """A way to write a program: `write(program, path, facts)`.

    suffix: of the file. backend: reads it (see READERS). packages: what must be installed.
    is_fixed: only for a fixed number of clips. Files written beside `path` belong to it.
    """

    suffix: str
    backend: str
    write: Callable[[ExportedProgram, Path, str], None]
    packages: tuple[str, ...] = ()
    is_fixed: bool = False


FORMATS = {
    "onnx": Format(".onnx", "onnxruntime", _write_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "openvino": Format(".xml", "openvino", _write_openvino, ("openvino",)),
    "pt2": Format(".pt2", "torch", _write_pt2),
    "torchscript": Format(".torchscript", "torch", _write_torchscript, is_fixed=True),
}


def check_installed(packages: Sequence[str], what: str) -> None:
    """ValueError that names the packages that are missing, and what needs them."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"{what}: needs the package{'s' if len(missing) > 1 else ''} {', '.join(missing)}: "
            f"pip install {' '.join(missing)} (the extra [export] has all)"
        )
