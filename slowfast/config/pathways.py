"""What the config says about pathways."""

from slowfast.config.node import ConfigNode


def pathway_strides(cfg: ConfigNode) -> tuple[int, ...]:
    """Temporal stride of each pathway's frames within the clip: (1,) or (ALPHA, 1), slow first."""
    if len(cfg.DATA.INPUT_CHANNEL_NUM) == 1:
        return (1,)
    return (cfg.SLOWFAST.ALPHA, 1)
