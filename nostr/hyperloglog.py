"""HyperLogLog as relays send it with a COUNT: merge and estimate (NIP-45).

256 registers of one byte each. A relay feeds it the pubkeys of the events it counts, so
that the union of several relays' events can be estimated from their registers alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

REGISTERS = 256

_BIAS = 0.7213 / (1 + 1.079 / REGISTERS)
# Up to here the share of empty registers is the better estimate; the second bound is on
# the estimate from the registers' values.
_MAX_LINEAR = 220
_MAX_CORRECTED = 3 * REGISTERS


def decode(text: str) -> bytes | None:
    """Return the registers of an `hll` value; None where it is malformed."""
    if len(text) != 2 * REGISTERS or not set(text) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(text)


def merge(several: Iterable[bytes]) -> bytes:
    """Return the registers of the union of what several registers stand for."""
    return bytes(map(max, zip(bytes(REGISTERS), *several, strict=True)))


def estimate(registers: bytes) -> int:
    """Return the estimated number of distinct pubkeys."""
    empty = registers.count(0)
    linear = REGISTERS * math.log(REGISTERS / empty) if empty else math.inf
    if linear <= _MAX_LINEAR:
        return int(linear)
    total = _BIAS * REGISTERS**2 / sum(2.0**-value for value in registers)
    return int(linear if empty and total <= _MAX_CORRECTED else total)
