"""One network in a process of its own, which does what it is told, line by line.

Started by against_reference.py. Nothing of this project may be imported here: in the process of the
reference, `slowfast` is the package of its checkout.
"""

import json
import re
import resource
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Worker:
    """Trains and runs a network: each method is a command, with its arguments as JSON.

    `infer_with(model)` makes the network that inference runs.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        layout: torch.memory_format,
        is_bf16: bool,
        infer_with: Callable[[nn.Module], nn.Module] = lambda model: model.eval(),
    ):
        self._model, self._layout, self._infer_with = model, layout, infer_with
        self._autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bf16)
        self._optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, nesterov=True)
        self._inference: nn.Module | None = None

    def clips(self, shapes: list[list[int]]) -> None:
        """Random clips N,C,T,H,W, the same in every process, and labels."""
        generator = torch.Generator().manual_seed(0)
        clips = [torch.randn(shape, generator=generator) for shape in shapes]
        self._clips = [clip.contiguous(memory_format=self._layout) for clip in clips]
        self._labels = torch.arange(len(clips[0]))

    def settle(self) -> None:
        """Take the statistics of all batch norms from the clips: random weights have none."""
        norms = [m for m in self._model.modules() if isinstance(m, nn.BatchNorm3d)]
        momentum = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            self._model.train()(list(self._clips))
        for norm, value in zip(norms, momentum, strict=True):
            norm.momentum = value

    def save(self, path: str) -> None:
        torch.save({"model_state": self._model.state_dict()}, path)

    def train(self) -> list[float]:
        """One step of SGD: its seconds of the clock and of the processor."""
        return _timed(self._train)

    def _train(self) -> None:
        self._model.train()
        self._optimizer.zero_grad()
        with self._autocast:
            loss = F.cross_entropy(self._model(list(self._clips)).float(), self._labels)
        loss.backward()
        self._optimizer.step()

    def infer(self) -> list[float]:
        """Scores in evaluation: the seconds."""
        return _timed(self._scores)

    def scores(self) -> list[list[float]]:
        return self._scores().double().tolist()

    @torch.no_grad()
    def _scores(self) -> Tensor:
        if self._inference is None:
            self._inference = self._infer_with(self._model).eval()
        with self._autocast:
            return self._inference(list(self._clips)).float()

    def forget(self) -> None:
        """Leave the network of inference, whose weights are from before training."""
        self._inference = None

    def peak(self) -> float:
        """Most memory of this process so far, MB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _timed(work: Callable[[], object]) -> list[float]:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return [time.perf_counter() - clock, time.process_time() - processor]


def serve(worker: Worker) -> None:
    """Answer lines [command, arguments...] with lines of JSON, until there are no more."""
    for line in sys.stdin:
        command, *args = json.loads(line)
        print(json.dumps(getattr(worker, command)(*args)), file=sys.__stdout__, flush=True)


def import_reference(package: str) -> list[str]:
    """Import the models of a checkout; names of what it asked for and this machine lacks.

    Each is replaced by something that fails when it is used.
    """
    missing: list[str] = []
    while len(missing) < 100:
        try:
            __import__(f"{package}.models")
            __import__(f"{package}.config.defaults")
            return missing
        except ModuleNotFoundError as error:
            if not error.name or error.name.split(".")[0] == package:
                raise
            missing.append(error.name)
            sys.modules[error.name] = _stand_in(error.name)
        except ImportError as error:
            found = re.search(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
            if not found or found[2].split(".")[0] == package:
                raise
            missing.append(f"{found[2]}.{found[1]}")
            setattr(sys.modules[found[2]], found[1], _unusable(missing[-1]))
    raise ImportError(f"the checkout's {package} lacks too much: {missing}")


def _stand_in(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__path__ = []

    def find(attribute: str) -> type:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return _unusable(f"{name}.{attribute}")

    module.__getattr__ = find
    return module


def _unusable(name: str) -> type:
    def fail(*_args, **_kwargs):
        raise ImportError(f"the reference needs {name}, which is not installed here")

    return type(name.rpartition(".")[2], (), {"__init__": fail})


def run_reference(package: str, config: str, overrides: list, *, is_bf16: bool) -> Worker:
    """The network of a checkout's YAML."""
    missing = import_reference(package)
    defaults, models = sys.modules[f"{package}.config.defaults"], sys.modules[f"{package}.models"]
    cfg = defaults.get_cfg()
    cfg.merge_from_file(config)
    cfg.merge_from_list(overrides)
    if missing:
        print(f"the reference does without {', '.join(missing)}", file=sys.stderr)
    torch.manual_seed(0)
    return Worker(models.build_model(cfg), layout=torch.contiguous_format, is_bf16=is_bf16)


def run_ours(config: str, overrides: list, weights: str, *, is_bf16: bool, backend: str) -> Worker:
    """Our network as the engine runs it, with the weights of the reference.

    `backend`: an exported network does the inference, in bfloat16 with `is_bf16`.
    """
    from slowfast.checkpoint.initialize import load_for_test
    from slowfast.config.cli import load_cfg
    from slowfast.models import build_model
    from slowfast.models.build import build_meta_inputs
    from slowfast.models.fold import fold_batch_norm
    from slowfast.runtime.device import build_device, clip_layout, place_model

    cfg = load_cfg(config, overrides)
    device = build_device(cfg)
    model = place_model(build_model(cfg), device)
    load_for_test(model, weights)
    inputs = build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE)

    def infer_with(trained: nn.Module) -> nn.Module:
        folded = fold_batch_norm(trained, *inputs)
        precision = "bfloat16" if is_bf16 else "float32"
        return folded if backend == "torch" else Exported(folded, backend, precision)

    return Worker(model, layout=clip_layout(device), is_bf16=is_bf16, infer_with=infer_with)


class Exported(nn.Module):
    """A network in the file of a backend, which is written at the first clips."""

    def __init__(self, folded: nn.Module, backend: str, precision: str):
        super().__init__()
        self._folded, self._backend, self._precision = [folded], backend, precision
        self._run = None

    def forward(self, clips: list[Tensor]) -> Tensor:
        if self._run is None:
            self._run = self._write([list(clip.shape) for clip in clips])
        return self._run(clips)

    def _write(self, shapes: list[list[int]]) -> Callable:
        from slowfast.export.formats import FORMATS, trace_program
        from slowfast.export.readers import read_exported

        (form,) = (form for form in FORMATS.values() if form.backend == self._backend)
        with torch.autocast("cpu", enabled=False), tempfile.TemporaryDirectory() as folder:
            program = trace_program(
                self._folded.pop(), shapes, is_dynamic=False, is_for_torch=False
            )
            path = Path(folder) / f"net{form.suffix}"
            form.write(program, path, json.dumps({"num_clips": shapes[0][0]}))
            return read_exported(path, self._backend, precision=self._precision).run


def main() -> None:
    """A task of JSON is the only argument: path, package (reference), config, overrides, ..."""
    task = json.loads(sys.argv[1])
    sys.path[0:1] = task["path"]
    sys.stdout = sys.stderr  # what a package prints is no answer
    torch.set_num_threads(task["threads"])
    args = task["config"], task["overrides"]
    if task["package"]:
        serve(run_reference(task["package"], *args, is_bf16=task["is_bf16"]))
    else:
        serve(run_ours(*args, task["weights"], is_bf16=task["is_bf16"], backend=task["backend"]))


if __name__ == "__main__":
    main()
