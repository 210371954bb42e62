"""Seeds derived from what they are for, so that no run depends on how many draws came before."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends only on `parts`, the same on every machine and Python version."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
