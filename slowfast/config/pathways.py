"""Temporal strides of the pathways, as the config says them."""

from slowfast.config.node import ConfigNode


def slow_stride(num_pathways: int, alpha: int) -> int:
    """Temporal stride of the first pathway's frames within the clip."""
    return 1 if num_pathways == 1 else alpha


def pathway_strides(cfg: ConfigNode) -> tuple[int, ...]:
    """Temporal stride of each pathway's frames within the clip: (1,) or (ALPHA, 1), slow first."""
    stride = slow_stride(len(cfg.DATA.INPUT_CHANNEL_NUM), cfg.SLOWFAST.ALPHA)
    return (stride, 1)[: len(cfg.DATA.INPUT_CHANNEL_NUM)]
