"""Networks of other libraries: whatever a factory of an installed package makes.

    before       the clip in the layout that the network takes
    network      the library's own layers, under their names with `network.` before them
    classifier   the last linear layer or 1x1x1 convolution of these, a row a class
    after        MODEL.HEAD_ACT in evaluation

The classifier is the last such layer that computes, or MODEL.FACTORY_CLASSIFIER. With another
number of classes it is replaced by a fresh one. A softmax or sigmoid layer that the library
computes after it in evaluation is taken out, as MODEL.HEAD_ACT decides here.
"""

import copy
import importlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from slowfast.config.checks import register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.models.heads import scores_of
from slowfast.utils.words import shorten

logger = logging.getLogger(__name__)

_LINEAR = (nn.Linear, nn.Conv2d, nn.Conv3d)
_ACTIVATIONS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid)
_NESTED = "FACTORY"  # among arguments: one that another factory makes


def _images(network: nn.Module, clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean over the frames of an image network's logits."""
    (clip,) = clips
    images = clip.transpose(1, 2).flatten(0, 1)  # N,C,T,H,W -> N*T,C,H,W
    logits = _logits_of(network(images))
    return logits.unflatten(0, (len(clip), -1)).mean(1)


def _one(network: nn.Module, clips: Sequence[torch.Tensor]) -> torch.Tensor:
    (clip,) = clips
    return _logits_of(network(clip))


def _frames_first(network: nn.Module, clips: Sequence[torch.Tensor]) -> torch.Tensor:
    (clip,) = clips
    return _logits_of(network(clip.transpose(1, 2)))  # N,C,T,H,W -> N,T,C,H,W


def _pathways(network: nn.Module, clips: Sequence[torch.Tensor]) -> torch.Tensor:
    return _logits_of(network(list(clips)))


# MODEL.INPUT_LAYOUT -> logits of a network for the clips of all pathways.
LAYOUTS: dict[str, Callable[[nn.Module, Sequence[torch.Tensor]], torch.Tensor]] = {
    "NCTHW": _one,
    "NTCHW": _frames_first,
    "images": _images,
    "pathways": _pathways,
}


def _logits_of(output: Any) -> torch.Tensor:
    """The tensor of logits in what a network gives: itself, `.logits`, or the first of several."""
    if isinstance(output, Mapping):
        output = output["logits"] if "logits" in output else next(iter(output.values()))
    output = getattr(output, "logits", output)
    return output[0] if isinstance(output, tuple | list) else output


class External(nn.Module):
    """A library's network that takes clips as ours do, N,C,T,H,W each, and gives scores as ours do.

    classifier_name: of the layer that gives the logits, for fine-tuning and SOLVER.HEAD_LR_FACTOR.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        layout: str,
        classifier: str,
        class_counts: Sequence[int],
        activation: str,
    ):
        super().__init__()
        self.network = network
        self.layout = layout
        self.classifier_name = f"network.{classifier}"
        self.class_counts = tuple(class_counts)
        self.activation = activation

    def forward(self, clips: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        assert boxes is None, "this network classifies whole clips and takes no boxes"
        logits = LAYOUTS[self.layout](self.network, clips)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.training:
            return logits
        return scores_of(logits, self.class_counts, self.activation)


def find_factory(name: str) -> Callable[..., Any]:
    """The function or class "module:name"; ValueError where there is none."""
    module, _, attributes = name.partition(":")
    if not module or not attributes:
        raise ValueError(
            f"MODEL.FACTORY: {name!r} must be a module and a function or class in it, e.g. "
            "torchvision.models.video:swin3d_t or timm:create_model"
        )
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"MODEL.FACTORY: {name!r}: cannot import {module}: {error}; is the package installed?"
        ) from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise ValueError(f"MODEL.FACTORY: {name!r}: {module} has no {attribute}")
        found = getattr(found, attribute)
    if not callable(found):
        raise ValueError(f"MODEL.FACTORY: {name!r} is no function or class")
    return found


def call_factory(name: str, arguments: Mapping[str, Any]) -> Any:
    """Call the factory; an argument with a FACTORY of its own is made first."""
    factory = find_factory(name)
    made = {key: _argument(value) for key, value in arguments.items()}
    try:
        return factory(**made)
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        given = shorten(dict(arguments))
        raise ValueError(
            f"MODEL.FACTORY: {name!r} with MODEL.FACTORY_ARGS {given}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _argument(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    inner = {key: item for key, item in value.items() if key != _NESTED}
    return call_factory(value[_NESTED], inner) if _NESTED in value else inner


class _Order:
    """Names of layers in the order in which they compute."""

    def __init__(self, network: nn.Module):
        self.names: list[str] = []
        for name, module in network.named_modules():
            if isinstance(module, _LINEAR + _ACTIVATIONS):
                module.register_forward_hook(self._after(name))

    def _after(self, name: str) -> Callable[..., None]:
        def hook(*_args: Any) -> None:
            self.names.append(name)

        return hook


@torch.no_grad()
def layers_in_order(
    network: nn.Module, layout: str, clips: Sequence[torch.Tensor], *, factory: str
) -> list[str]:
    """Names of linear layers, convolutions and activations in the order of one evaluation pass.

    clips: on the meta device. ValueError where the network does not take them.
    """
    network = copy.deepcopy(network).to("meta").eval()
    order = _Order(network)
    try:
        logits = LAYOUTS[layout](network, clips)
    except (RuntimeError, TypeError, ValueError, AssertionError, IndexError) as error:
        shapes = ", ".join(str(list(clip.shape)) for clip in clips)
        raise ValueError(
            f"MODEL.INPUT_LAYOUT: {layout}: {factory} does not take clips N,C,T,H,W of {shapes} "
            f"in this layout: {str(error).splitlines()[0][:200]}; set it to one of "
            f"{sorted(LAYOUTS)}, or DATA.NUM_FRAMES, DATA.TRAIN_CROP_SIZE, DATA.TEST_CROP_SIZE or "
            "MODEL.FACTORY_ARGS to what the network expects"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise ValueError(
            f"MODEL.FACTORY: {factory} does not give one row of logits a clip, but "
            f"{list(getattr(logits, 'shape', [])) or type(logits).__name__}"
        )
    return order.names


def find_classifier(network: nn.Module, order: Sequence[str], wanted: str, *, factory: str) -> str:
    """Name of the layer that gives the logits: `wanted`, or the last linear one of `order`."""
    modules = dict(network.named_modules())
    names = [name for name in order if _is_linear(modules[name])]
    if wanted and (wanted not in modules or not _is_linear(modules[wanted])):
        raise ValueError(
            f"MODEL.FACTORY_CLASSIFIER: {wanted!r} is no linear layer of {factory}; the last ones "
            f"are {names[-4:]}"
        )
    if not wanted and not names:
        raise ValueError(f"MODEL.FACTORY_CLASSIFIER: {factory} has no linear layer to be found")
    return wanted or names[-1]


def _is_linear(module: nn.Module) -> bool:
    kernel = getattr(module, "kernel_size", (1,))
    return isinstance(module, _LINEAR) and set(kernel) == {1} and getattr(module, "groups", 1) == 1


def with_classes(network: nn.Module, name: str, num_classes: int, *, std: float) -> None:
    """Replace the classifier by a fresh one, N(0, std^2), unless it has as many rows."""
    old = network.get_submodule(name)
    if old.weight.shape[0] == num_classes:
        return
    if isinstance(old, nn.Linear):
        new = nn.Linear(old.in_features, num_classes)
    else:
        new = type(old)(old.in_channels, num_classes, kernel_size=1)
    nn.init.normal_(new.weight, std=std)
    nn.init.zeros_(new.bias)
    logger.info("MODEL.FACTORY: %s is made anew, for %d classes", name, num_classes)
    network.set_submodule(name, new.to(old.weight.device))


def without_activations(network: nn.Module, names: Sequence[str]) -> None:
    """Take out the softmax and sigmoid layers of these names."""
    for name in names:
        if isinstance(network.get_submodule(name), _ACTIVATIONS):
            logger.info("MODEL.FACTORY: %s is left out: MODEL.HEAD_ACT decides on scores", name)
            network.set_submodule(name, nn.Identity())


@register_rule("MODEL", "DETECTION.ENABLE", "ADAPTIVE.ENABLE")
def _check_external(model: ConfigNode, has_boxes: bool, is_adaptive: bool) -> Iterator[str]:
    if model.MODEL_NAME != "external":
        for key in ("FACTORY", "FACTORY_ARGS", "FACTORY_CLASSIFIER"):
            if value := model[key]:
                yield f"MODEL.{key}: {shorten(value)} needs MODEL.MODEL_NAME external"
        return
    if not model.FACTORY:
        yield "MODEL.FACTORY: external needs one, e.g. torchvision.models.video:swin3d_t"
    switches = {
        "DETECTION.ENABLE": has_boxes,
        "ADAPTIVE.ENABLE": is_adaptive,
        "MODEL.WIDTH": model.WIDTH < 1,
    }
    for key in (key for key, is_on in switches.items() if is_on):
        yield f"{key} has no effect on MODEL.MODEL_NAME external: set MODEL.FACTORY_ARGS"


def build_external(
    cfg: ConfigNode, clips: Sequence[torch.Tensor], test_clips: Sequence[torch.Tensor]
) -> External:
    """The network that MODEL.FACTORY makes; clips of training and of a test on the meta device."""
    model = cfg.MODEL
    network = call_factory(model.FACTORY, model.FACTORY_ARGS)
    if not isinstance(network, nn.Module):
        raise ValueError(f"MODEL.FACTORY: {model.FACTORY!r} makes no network: {type(network)}")
    about = {"factory": model.FACTORY}
    if model.DROPOUT_RATE != DEFAULTS.MODEL.DROPOUT_RATE:
        logger.warning("MODEL.DROPOUT_RATE is not used: MODEL.FACTORY_ARGS decide on dropout")
    layers_in_order(network, model.INPUT_LAYOUT, test_clips, **about)
    order = layers_in_order(network, model.INPUT_LAYOUT, clips, **about)
    classifier = find_classifier(network, order, model.FACTORY_CLASSIFIER, **about)
    counts = class_counts(model.NUM_CLASSES)
    with_classes(network, classifier, sum(counts), std=model.FC_INIT_STD)
    without_activations(network, order[order.index(classifier) + 1 :])
    return External(
        network,
        layout=model.INPUT_LAYOUT,
        classifier=classifier,
        class_counts=counts,
        activation=model.HEAD_ACT,
    )
