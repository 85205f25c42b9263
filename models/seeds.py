"""Counter-based randomness: every draw is a function of the seed and of what it is used for.

No draw depends on an earlier one, so a resumed run repeats the draws of an uninterrupted one.
"""

import hashlib

import torch


def derive(seed: int, *keys: str | int) -> int:
    """Return a 63-bit seed for one use of randomness, e.g. ``derive(1993, "shuffle", 0, 12)``."""
    text = "/".join(str(key) for key in (seed, *keys))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def generator(seed: int, *keys: str | int) -> torch.Generator:
    """Return a CPU generator seeded by `derive`; the same draws on every device."""
    return torch.Generator().manual_seed(derive(seed, *keys))
