"""Rules for processes and the batches that they share."""

import os
from collections.abc import Iterator

from slowfast.config.checks.rules import register_rule
from slowfast.config.node import ConfigNode


@register_rule("SHARD_ID", "NUM_SHARDS")
def check_shard(number: int, count: int) -> Iterator[str]:
    """Check that machines are counted from 0."""
    if number >= count:
        yield f"SHARD_ID: {number} must be below NUM_SHARDS {count}"


@register_rule("TRAIN", "TEST", "NUM_GPUS")
def check_batches(train: ConfigNode, test: ConfigNode, num_gpus: int) -> Iterator[str]:
    """Check that batches are shared evenly."""
    num_local = _num_local(num_gpus)
    for name, section in (("TRAIN", train), ("TEST", test)):
        if section.ENABLE and section.BATCH_SIZE % num_local:
            yield (
                f"{name}.BATCH_SIZE: {section.BATCH_SIZE} must be a multiple of {num_local}, the "
                "number of processes on a machine (NUM_GPUS)"
            )


@register_rule("BN", "TRAIN", "NUM_GPUS", "NUM_SHARDS")
def check_shared_statistics(
    norm: ConfigNode, train: ConfigNode, num_gpus: int, num_shards: int
) -> Iterator[str]:
    """Check that batch norms split or join batches evenly."""
    if not train.ENABLE:
        return
    num_local = _num_local(num_gpus)
    per_process = train.BATCH_SIZE // num_local
    if norm.NORM_TYPE == "sub_batchnorm" and per_process % norm.NUM_SPLITS:
        yield (
            f"BN.NUM_SPLITS: {norm.NUM_SPLITS} must divide the {per_process} clips of a process "
            f"(TRAIN.BATCH_SIZE {train.BATCH_SIZE} over {num_local})"
        )
    num_synced, num_total = norm.NUM_SYNC_DEVICES, num_local * num_shards
    if norm.NORM_TYPE == "sync_batchnorm" and not norm.GLOBAL_SYNC and num_synced < num_total:
        if num_synced < 2 or num_total % num_synced:
            yield (
                f"BN.NUM_SYNC_DEVICES: {num_synced} must be at least 2 and divide the "
                f"{num_total} processes; BN.GLOBAL_SYNC True takes all of them"
            )


def _num_local(num_gpus: int) -> int:
    """Count the processes on this machine; torchrun's number wins over NUM_GPUS."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", max(num_gpus, 1)))
