"""Blob names of Caffe2 checkpoints (PySlowFast's first model zoo, video-nonlocal-net) -> ours."""

import re

from slowfast.checkpoint.convert import State, rename

# A leading "t_" is the fast pathway. A batch norm is a layer of its own, "<layer>_bn".
_BLOB = re.compile(r"(t_)?(.+?)_((?:w|b|s|rm|riv)(?:_momentum)?)")
_KINDS = {"w": "weight", "b": "bias", "s": "weight", "rm": "running_mean", "riv": "running_var"}
_LAYERS = {
    r"conv1": "s1.pathway{p}_stem.conv",
    r"conv1_xy": "s1.pathway{p}_stem.conv_xy",
    r"res_conv1_bn": "s1.pathway{p}_stem.bn",
    r"res(\d)_(\d+)_(branch1(?:_bn)?)": "s{0}.pathway{p}_res{1}.{2}",
    r"res(\d)_(\d+)_branch2([abc](?:_bn)?)": "s{0}.pathway{p}_res{1}.branch2.{2}",
    r"res(\d)_(\d+)_branch2b_bn_(fc[12])": "s{0}.pathway{p}_res{1}.branch2.se.{2}",
    r"pool1_subsample": "s1_fuse.conv_f2s",
    r"pool1_subsample_bn": "s1_fuse.bn",
    r"res(\d)_\d+_branch2c_bn_subsample": "s{0}_fuse.conv_f2s",
    r"res(\d)_\d+_branch2c_bn_subsample_bn": "s{0}_fuse.bn",
    r"nonlocal_conv(\d)_(\d+)_(theta|phi|g|out)": "s{0}.pathway{p}_nonlocal{1}.conv_{2}",
    r"nonlocal_conv(\d)_(\d+)_bn": "s{0}.pathway{p}_nonlocal{1}.bn",
    r"((?:conv_5|lin_5)(?:_bn)?)": "head.{0}",
    r"pred": "head.projection",
}
_NOT_WEIGHTS = re.compile(r".*_momentum|lr|model_iter")


def from_caffe2(blobs: State) -> State:
    """The weights under our names; the optimizer's blobs are left out."""
    return rename({n: v for n, v in blobs.items() if not _NOT_WEIGHTS.fullmatch(n)}, caffe2_name)


def caffe2_name(blob: str) -> str:
    """Our name; a blob of another pattern keeps its own."""
    match = _BLOB.fullmatch(blob)
    if match is None:
        return blob
    prefix, layer, kind = match.groups()
    for pattern, name in _LAYERS.items():
        if parts := re.fullmatch(pattern, layer):
            ours = name.format(*parts.groups(), p=1 if prefix else 0)
            return f"{ours}.{_KINDS.get(kind, kind)}"
    return blob
