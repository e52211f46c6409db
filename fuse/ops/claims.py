"""Pixels that go to whoever claims them most."""

from __future__ import annotations

from fuse.ops._jit import jit
from fuse.types import Float32Array, Int32Array


@jit
def claim_pixels(
    owners: Int32Array, highest: Float32Array, claims: Float32Array, owner: int
) -> None:
    """Give an owner the pixels that it claims more than anyone before it.

    Args:
        owners: int32 (h, w), a window of the map of owners; changed in place.
        highest: float32 (h, w), the highest claim so far; changed in place.
        claims: float32 (h, w), the new ones; equal ones do not count.
        owner: whose they are.
    """
    for y in range(claims.shape[0]):
        for x in range(claims.shape[1]):
            if claims[y, x] > highest[y, x]:
                owners[y, x] = owner
                highest[y, x] = claims[y, x]
