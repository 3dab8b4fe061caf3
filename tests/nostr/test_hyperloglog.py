"""HyperLogLog registers: the estimates that other implementations make (NIP-45)."""

import random
from collections.abc import Iterable
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nostrclient.nostr.hyperloglog import REGISTERS, decode, estimate, merge

OFFSET = 8


def fed(pubkeys: Iterable[str]) -> bytes:
    """Give the registers that a relay makes of some authors, as NIP-45 says."""
    registers = bytearray(REGISTERS)
    for pubkey in pubkeys:
        data = bytes.fromhex(pubkey)
        rest = int.from_bytes(data[OFFSET + 1 : OFFSET + 8], "big")
        zeros = 8 * 7 - rest.bit_length()
        registers[data[OFFSET]] = max(registers[data[OFFSET]], zeros + 1)
    return bytes(registers)


def registers(numbers: Iterable[int]) -> bytes:
    """Give the registers of as many authors, each of its number."""
    return fed(sha256(str(number).encode()).hexdigest() for number in numbers)


@pytest.mark.parametrize(
    ("authors", "estimated"),
    # As nostr-tools estimates them.
    [
        (0, 0),
        (1, 1),
        (10, 10),
        (100, 107),
        (200, 209),
        (300, 304),
        (400, 403),
        (500, 509),
        (600, 628),
        (800, 784),
        (1000, 920),
        (2000, 1881),
        (5000, 4803),
        (20_000, 20_908),
    ],
)
def test_d6_an_estimate_is_the_one_of_other_implementations(
    authors: int, estimated: int
) -> None:
    assert estimate(registers(range(authors))) == estimated


def test_d6_registers_are_those_that_relays_send() -> None:
    # Facts of nostrlib's own test: seven pubkeys, five registers.
    pubkeys = [
        "0" * 64,
        "f" * 64,
        "0123456789abcdef" * 4,
        "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789",
        "0" * 16 + "01" + "0" * 46,
        "0" * 16 + "028" + "0" * 45,
        "0" * 16 + "024" + "0" * 45,
    ]
    found = fed(pubkeys)
    assert found[:3] == b"\x39\x39\x02"
    assert found[255] == 1
    assert estimate(found) == 5
    assert merge([fed(pubkeys[::2]), fed(pubkeys[1::2])]) == found


@given(st.sets(st.integers(0, 3000)), st.sets(st.integers(0, 3000)))
def test_d6_merged_registers_are_those_of_the_union(a: set[int], b: set[int]) -> None:
    assert merge([registers(a), registers(b)]) == registers(a | b)
    assert merge([registers(a)]) == registers(a)
    assert merge([]) == bytes(REGISTERS)


def test_d6_an_estimate_is_near_the_number_of_authors() -> None:
    rng = random.Random(1)
    for size in (50, 500, 5000, 50_000):
        found = estimate(registers(rng.sample(range(10**9), size)))
        assert 0.6 * size < found < 1.5 * size


def test_d6_registers_of_any_value_have_an_estimate() -> None:
    assert estimate(b"\xff" * REGISTERS) > 0
    assert estimate(b"\xff" * 255 + b"\x00") > 0


@pytest.mark.parametrize("text", ["", "00" * 255, "00" * 257, "0G" * 256, "AB" * 256])
def test_d6_malformed_registers_are_none(text: str) -> None:
    assert decode(text) is None


def test_d6_well_formed_registers_are_decoded() -> None:
    assert decode("07" * 256) == b"\x07" * 256
