"""Table of models, one row a family; other packages add rows with `MODELS.register`."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from slowfast.config.checks import register_names, register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode, flatten
from slowfast.models.bounds import TooLarge, make_on_meta, parameters_up_to, size_mistake
from slowfast.models.conv import set_depthwise
from slowfast.models.depthwise import launch
from slowfast.models.families.blvnet import build_blvnet
from slowfast.models.families.csn import build_csn
from slowfast.models.families.eco import build_eco
from slowfast.models.families.external import build_external
from slowfast.models.families.gst import build_gst
from slowfast.models.families.mfnet import build_mfnet
from slowfast.models.families.mvit import build_mvit
from slowfast.models.families.r3d import build_r2plus1d, build_r3d
from slowfast.models.families.resnet import build_resnet
from slowfast.models.families.s3d import build_s3d
from slowfast.models.families.slowfast import build_slowfast
from slowfast.models.families.tea import build_tea
from slowfast.models.families.tpn import build_tpn
from slowfast.models.families.trn import build_trn
from slowfast.models.families.tsm import build_tsm
from slowfast.models.families.tsn import build_tsn
from slowfast.models.families.vov3d import build_vov3d
from slowfast.models.families.x3d import build_x3d
from slowfast.models.network import VideoNetwork, build_init
from slowfast.models.slimmable import narrow
from slowfast.utils.registry import Registry

MODELS: Registry[Callable[[ConfigNode], nn.Module]] = Registry("MODEL.MODEL_NAME")
register_names("MODEL.MODEL_NAME", MODELS)
MODELS.register("CSN")(build_csn)
MODELS.register("ECO")(build_eco)
MODELS.register("GST")(build_gst)
MODELS.register("MC3")(partial(build_r3d, is_mixed=True))
MODELS.register("MFNet")(build_mfnet)
MODELS.register("R2Plus1D")(build_r2plus1d)
MODELS.register("R3D")(build_r3d)
MODELS.register("MViT")(build_mvit)
MODELS.register("ResNet")(build_resnet)
MODELS.register("ResNet_nopool")(partial(build_resnet, has_pool=False))
MODELS.register("S3D")(build_s3d)
MODELS.register("SlowFast")(build_slowfast)
MODELS.register("TEA")(build_tea)
MODELS.register("TRN")(build_trn)
MODELS.register("TPN")(build_tpn)
MODELS.register("TSM")(build_tsm)
MODELS.register("TSN")(build_tsn)
MODELS.register("bLVNet")(build_blvnet)
MODELS.register("VoV3D")(build_vov3d)
MODELS.register("X3D")(build_x3d)
_OURS = frozenset(MODELS)

# Families that run at one width alone, and those that take no boxes -> why.
_ONE_WIDTH = {
    "GST": "one batch norm follows the channels of two convolutions",
    "MFNet": "its convolutions in groups cannot be cut to leading channels",
    "MViT": "its heads of attention cannot be cut to leading channels",
    "TPN": "its pyramid has groups of channels that cannot be cut",
}
_NO_BOXES = {"TPN": "its pyramid is one map of a whole clip"}


@register_rule("MODEL.ACT_CHECKPOINT", "MODEL.MODEL_NAME", "ADAPTIVE.ENABLE", "TRAIN.COMPILE")
def check_recomputation(
    is_on: bool, name: str, is_adaptive: bool, is_compiled: bool
) -> Iterator[str]:
    """Check that what is computed again would be the same."""
    if is_on and is_adaptive:
        yield (
            "MODEL.ACT_CHECKPOINT: True must be False with ADAPTIVE.ENABLE True: the width of a "
            "sub-network has changed when its activations are computed again"
        )
    if is_on and is_compiled and name != "MViT":
        yield (
            "MODEL.ACT_CHECKPOINT: True must be False with TRAIN.COMPILE True: the batch norms of "
            f"{name} would be compiled for statistics that are set aside meanwhile"
        )


@register_rule("MODEL", "ADAPTIVE.ENABLE", "DETECTION.ENABLE")
def check_uses(model: ConfigNode, is_adaptive: bool, has_boxes: bool) -> Iterator[str]:
    """Check that the family can be what is asked for."""
    name = model.MODEL_NAME
    if name in _ONE_WIDTH and is_adaptive:
        yield f"ADAPTIVE.ENABLE: True must be False with {name}: {_ONE_WIDTH[name]}"
    if name in _ONE_WIDTH and model.WIDTH != 1:
        yield f"MODEL.WIDTH: {model.WIDTH} must be 1 with {name}: {_ONE_WIDTH[name]}"
    if name in _NO_BOXES and has_boxes:
        yield f"DETECTION.ENABLE: True must be False with {name}: {_NO_BOXES[name]}"


@register_rule("MODEL.DEPTHWISE", "NUM_GPUS")
def check_depthwise(way: str, num_gpus: int) -> Iterator[str]:
    """Check that Triton kernels can run where the network runs."""
    reason = launch.missing("cuda" if num_gpus else "cpu") if way == "triton" else ""
    if reason:
        yield f"MODEL.DEPTHWISE: {way} must be auto, torch or fold here: {reason}"


def build_meta_inputs(cfg: ConfigNode, crop: int, *, num_frames: int = 0) -> tuple:
    """Inputs of the network on the meta device: 1,C,T,crop,crop for each pathway, and boxes.

    A detection network gets one box, every other None. num_frames: of the clip; 0: those of
    training. DETECTION.FRAME_SIZE takes the place of the crop.
    """
    length = num_frames or cfg.DATA.NUM_FRAMES
    size = cfg.DETECTION.FRAME_SIZE or [crop, crop]
    clips = [
        torch.empty(1, channels, length // stride, *size, device="meta")
        for channels, stride in zip(cfg.DATA.INPUT_CHANNEL_NUM, pathway_strides(cfg), strict=True)
    ]
    return (clips, torch.empty(1, 5, device="meta") if cfg.DETECTION.ENABLE else None)


@MODELS.register("external")
def build_external_for_crops(cfg: ConfigNode) -> nn.Module:
    """The library's network, which is tried on clips of training and of a test."""
    crops = (cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TEST_CROP_SIZE)
    return build_external(cfg, *(build_meta_inputs(cfg, crop)[0] for crop in crops))


def recompute(model: nn.Module, name: str) -> None:
    """Let the backward pass compute the activations of a model of MODEL_NAME `name` again."""
    if isinstance(model, VideoNetwork):
        model.recomputes_stages = True
    elif not getattr(model, "recomputes_blocks", False):
        raise ValueError(
            f"MODEL.ACT_CHECKPOINT: True must be False with MODEL.MODEL_NAME {name}: it does not "
            "say which parts of its network can be computed again"
        )


def choose_depthwise(model: nn.Module, way: str, name: str) -> None:
    """Compute the depthwise convolutions of a model of MODEL_NAME `name` in a way."""
    if not set_depthwise(model, way):
        raise ValueError(
            f"MODEL.DEPTHWISE: {way} must be auto with this network of MODEL.MODEL_NAME {name}, "
            "which has no depthwise convolutions of ours"
        )


def build_model(cfg: ConfigNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, with initial weights, on the default device.

    ValueError where it would have more parameters than MODEL.MAX_PARAMS.
    """
    most = cfg.MODEL.MAX_PARAMS
    make = partial(MODELS.get(cfg.MODEL.MODEL_NAME), cfg)
    is_ours = cfg.MODEL.MODEL_NAME in _OURS  # models of others may do more than build
    try:
        model = make_on_meta(make, most) if is_ours else None
        if model is None or torch.get_default_device().type != "meta":
            with parameters_up_to(most):
                model = make()
    except TooLarge as error:
        values, defaults = dict(flatten(cfg)), dict(flatten(DEFAULTS))
        raise ValueError(size_mistake(most, values, defaults)) from error
    if cfg.MODEL.DEPTHWISE != "auto":
        choose_depthwise(model, cfg.MODEL.DEPTHWISE, cfg.MODEL.MODEL_NAME)
    if cfg.MODEL.WIDTH < 1.0:
        model = narrow(model, cfg.MODEL.WIDTH)
        build_init(cfg)(model)  # again: their variance follows the number of channels
    if cfg.MODEL.ACT_CHECKPOINT:
        recompute(model, cfg.MODEL.MODEL_NAME)
    return model
