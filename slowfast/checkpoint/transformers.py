"""Names of MViT in torchvision and in pytorchvideo -> ours, which are PySlowFast's.

torchvision's tables of positions and its class token lack the first axis, of length 1.
"""

import re

import torch

from slowfast.checkpoint.convert import State, rename

_NAME = re.compile(r"blocks\.(\d+)\.(.+)\.(weight|bias)")
# In a block of torchvision.
_PARTS = {
    "attn.project.0": "attn.proj",
    "mlp.0": "mlp.fc1",
    "mlp.3": "mlp.fc2",
    "project": "proj",
    **{f"attn.pool_{name}.pool": f"attn.pool_{name}" for name in "qkv"},
    **{f"attn.pool_{name}.norm_act.0": f"attn.norm_{name}" for name in "qkv"},
}
_OTHERS = {
    "conv_proj": "patch_embed.proj",
    "pos_encoding.class_token": "cls_token",
    "pos_encoding.spatial_pos": "pos_embed_spatial",
    "pos_encoding.temporal_pos": "pos_embed_temporal",
    "pos_encoding.class_pos": "pos_embed_class",
    "head.1": "head.projection",
}
_PYTORCHVIDEO = {
    "patch_embed.patch_model": "patch_embed.proj",
    "cls_positional_encoding.cls_token": "cls_token",
    **{
        f"cls_positional_encoding.pos_embed_{name}": f"pos_embed_{name}"
        for name in ("spatial", "temporal", "class")
    },
    "cls_positional_encoding.pos_embed": "pos_embed",
    "norm_patch_embed": "norm_stem",
    "norm_embed": "norm",
    "head.proj": "head.projection",
}
_QUERIES = re.compile(r"(blocks\.\d+\.attn)\.q\.(weight|bias)")


def from_torchvision_mvit(state: State) -> State:
    """The weights under our names, positions with an axis more."""
    renamed = rename(state, mvit_name)
    return {name: _with_axis(name, value) for name, value in renamed.items()}


def _with_axis(name: str, value: torch.Tensor) -> torch.Tensor:
    if name == "cls_token" or name.startswith("pos_embed"):
        return value.reshape(1, -1, value.shape[-1])
    return value


def mvit_name(name: str) -> str:
    """Our name; a name of another pattern stays."""
    match = _NAME.fullmatch(name)
    if match is not None:
        return f"blocks.{match[1]}.{_PARTS.get(match[2], match[2])}.{match[3]}"
    return _other_name(name, _OTHERS)


def _other_name(name: str, names: dict[str, str]) -> str:
    layer, _, kind = name.rpartition(".")
    if layer in names:
        return f"{names[layer]}.{kind}"
    return names.get(name, name)


def from_pytorchvideo_mvit(state: State) -> State:
    """The weights under our names; linear layers for q, k and v become one for all."""
    renamed = rename(state, lambda name: _other_name(name, _PYTORCHVIDEO))
    queries = [match.groups() for match in map(_QUERIES.fullmatch, renamed) if match]
    joined: State = {}
    for block, kind in queries:
        joined[f"{block}.qkv.{kind}"] = torch.cat(
            [renamed.pop(f"{block}.{name}.{kind}") for name in "qkv"]
        )
    return {**renamed, **joined}
