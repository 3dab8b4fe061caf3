"""Reconciliation of two sets of events without sending them: negentropy (NIP-77).

Protocol version 1: bytes in, bytes out. Each side has items, sorted by date and id. A
message covers the whole order with adjacent ranges. For each range it says nothing
(skip), the fingerprint of the items, or their ids.

Theory of operation. The initiator sends fingerprints of a few ranges; one for all where
it has few items, as their ids would be longer. Each side answers a fingerprint that
differs from its own with those of smaller ranges, and with ids once they are few. The
responder answers ids with its own, and the initiator compares them: it learns which ids
it alone has, and which it needs. Equal ranges cost nothing more, so that two equal sets
cost one short message each way. The reconciliation is over when the initiator has no
more to ask.

What does not fit a frame of `frame_bytes` is covered by one fingerprint for the rest,
and so left to the next round.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import accumulate

from .errors import InvalidMessage

VERSION = 0x61
ID_BYTES = 32
FINGERPRINT_BYTES = 16
MIN_FRAME_BYTES = 4096
INFINITY = 2**64 - 1

_BUCKETS = 16  # parts of a range that differs
_FEW = 2 * _BUCKETS  # of fewer items their ids are sent
_SPARE_BYTES = 200  # of a frame, for the fingerprint of the rest
_MODULUS = 2 ** (8 * ID_BYTES)
_SKIP, _FINGERPRINT, _IDS = 0, 1, 2
_MAX_VARINT_BYTES = 10

Item = tuple[int, bytes]
"""An event: `created_at` and the 32 bytes of its id."""

Bound = tuple[int, bytes]
"""The end of a range: the first place in the order of (date, id) that is outside it."""


class UnsupportedVersionError(InvalidMessage):
    """The other side speaks another version of the protocol."""


def encode_varint(number: int) -> bytes:
    """Encode an unsigned integer: base 128, most significant digit first."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))


def fingerprint(ids: Iterable[bytes]) -> bytes:
    """Return the fingerprint of some ids, whatever their order."""
    several = list(ids)
    total = sum(int.from_bytes(item, "little") for item in several)
    return _fingerprint(total, len(several))


def _fingerprint(total: int, count: int) -> bytes:
    data = (total % _MODULUS).to_bytes(ID_BYTES, "little") + encode_varint(count)
    return sha256(data).digest()[:FINGERPRINT_BYTES]


class _Reader:
    """The rest of a message. Every method raises `InvalidMessage` at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._date = 0

    @property
    def has_more(self) -> bool:
        return self._at < len(self._data)

    def read(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise InvalidMessage("the negentropy message ends too early")
        self._at += size
        return found

    def varint(self) -> int:
        number = 0
        for _ in range(_MAX_VARINT_BYTES):
            digit = self.read(1)[0]
            number = number << 7 | digit & 0x7F
            if not digit & 0x80:
                return number
        raise InvalidMessage("a negentropy message holds too large a number")

    def bound(self) -> Bound:
        encoded = self.varint()
        self._date = INFINITY if encoded == 0 else self._date + encoded - 1
        size = self.varint()
        if size > ID_BYTES:
            raise InvalidMessage("a negentropy bound is longer than an id")
        return min(self._date, INFINITY), self.read(size)

    def ids(self) -> list[bytes]:
        count = self.varint()
        data = self.read(count * ID_BYTES)
        return [data[at : at + ID_BYTES] for at in range(0, len(data), ID_BYTES)]


class _Writer:
    """A message in the making; ranges that are skipped are joined."""

    def __init__(self) -> None:
        self._data = bytearray((VERSION,))
        self._date = 0
        self._skipped: Bound | None = None

    def __len__(self) -> int:
        return len(self._data)

    def mark(self) -> tuple[int, int, Bound | None]:
        """Return what `reset` needs to take back what is written from now on."""
        return len(self._data), self._date, self._skipped

    def reset(self, mark: tuple[int, int, Bound | None]) -> None:
        length, self._date, self._skipped = mark
        del self._data[length:]

    def skip(self, end: Bound) -> None:
        self._skipped = end

    def fingerprint(self, end: Bound, value: bytes) -> None:
        self._range(end, _FINGERPRINT)
        self._data += value

    def ids(self, end: Bound, ids: Sequence[bytes]) -> None:
        self._range(end, _IDS)
        self._data += encode_varint(len(ids))
        for item in ids:
            self._data += item

    def _range(self, end: Bound, mode: int) -> None:
        if self._skipped is not None:
            skipped, self._skipped = self._skipped, None
            self._bound(skipped)
            self._data += encode_varint(_SKIP)
        self._bound(end)
        self._data += encode_varint(mode)

    def _bound(self, bound: Bound) -> None:
        date, prefix = bound
        if date == INFINITY:
            self._data += encode_varint(0)
        else:
            self._data += encode_varint(1 + date - self._date)
        self._date = date
        self._data += encode_varint(len(prefix)) + prefix

    def done(self) -> bytes:
        # A skip at the end goes without saying.
        return bytes(self._data)


class Negentropy:
    """One side of a reconciliation.

    The initiator calls `initiate` once and `reconcile` with each answer, until that
    returns None; `have` and `need` then hold the ids that only this side and only the
    other side has. The responder calls `respond`.

    `frame_bytes` bounds the messages this side sends, None for no bound. Raises
    `ValueError` for one below `MIN_FRAME_BYTES`.
    """

    def __init__(self, items: Iterable[Item], frame_bytes: int | None = None) -> None:
        if frame_bytes is not None and frame_bytes < MIN_FRAME_BYTES:
            raise ValueError(f"a frame has {MIN_FRAME_BYTES} bytes or more")
        self._items = sorted(set(items))
        self._sums = list(
            accumulate(
                (int.from_bytes(item[1], "little") for item in self._items), initial=0
            )
        )
        self._max_bytes = INFINITY if frame_bytes is None else frame_bytes
        self._max_bytes -= _SPARE_BYTES
        self.have: set[bytes] = set()
        self.need: set[bytes] = set()

    def initiate(self) -> bytes:
        """Return the first message."""
        writer = _Writer()
        count, end = len(self._items), (INFINITY, b"")
        if 0 < count < _FEW:
            writer.fingerprint(end, self._fingerprint(0, count))
        else:
            self._split(writer, 0, count, end)
        return writer.done()

    def reconcile(self, message: bytes) -> bytes | None:
        """Handle the responder's message; return the next one, None at the end.

        Raises `InvalidMessage`, and `UnsupportedVersionError` where the responder does
        not speak version 1.
        """
        if message[:1] != bytes((VERSION,)):
            raise UnsupportedVersionError("the relay speaks another negentropy version")
        answer = self._handle(message, is_initiator=True)
        return answer if len(answer) > 1 else None

    def respond(self, message: bytes) -> bytes:
        """Return the answer to the initiator's message. Raises `InvalidMessage`."""
        if not message:
            raise InvalidMessage("a negentropy message is empty")
        if message[0] != VERSION:
            return bytes((VERSION,))
        return self._handle(message, is_initiator=False)

    def _handle(self, message: bytes, *, is_initiator: bool) -> bytes:
        reader, writer = _Reader(message[1:]), _Writer()
        begin: Bound = (0, b"")
        lower = 0
        while reader.has_more:
            end, mode = reader.bound(), reader.varint()
            if end < begin:
                raise InvalidMessage("the ranges of a negentropy message overlap")
            upper = bisect_left(self._items, end, lower)
            mark = writer.mark()
            if mode == _SKIP:
                writer.skip(end)
            elif mode == _FINGERPRINT:
                if reader.read(FINGERPRINT_BYTES) == self._fingerprint(lower, upper):
                    writer.skip(end)
                else:
                    self._split(writer, lower, upper, end)
            elif mode == _IDS:
                theirs = reader.ids()
                if is_initiator:
                    self._compare(theirs, lower, upper)
                    writer.skip(end)
                elif not self._answer_ids(writer, lower, upper, end):
                    break
            else:
                raise InvalidMessage("a negentropy range has an unknown mode")
            if len(writer) > self._max_bytes:
                writer.reset(mark)
                self._postpone(writer, lower)
                break
            begin, lower = end, upper
        return writer.done()

    def _compare(self, theirs: Sequence[bytes], lower: int, upper: int) -> None:
        mine = {item[1] for item in self._items[lower:upper]}
        others = set(theirs)
        self.have |= mine - others
        self.need |= others - mine

    def _answer_ids(self, writer: _Writer, lower: int, upper: int, end: Bound) -> bool:
        """Write the ids of a range; return False if the rest was postponed."""
        room = (self._max_bytes - len(writer)) // ID_BYTES
        if upper - lower <= room:
            writer.ids(end, self._ids(lower, upper))
            return True
        middle = lower + max(0, room)
        if middle > lower:
            writer.ids(self._bound_at(middle), self._ids(lower, middle))
        self._postpone(writer, middle)
        return False

    def _postpone(self, writer: _Writer, lower: int) -> None:
        rest = self._fingerprint(lower, len(self._items))
        writer.fingerprint((INFINITY, b""), rest)

    def _split(self, writer: _Writer, lower: int, upper: int, end: Bound) -> None:
        count = upper - lower
        if count < _FEW:
            writer.ids(end, self._ids(lower, upper))
            return
        size, larger = divmod(count, _BUCKETS)
        first = lower
        for number in range(_BUCKETS):
            last = first + size + (number < larger)
            bound = end if last == upper else self._bound_at(last)
            writer.fingerprint(bound, self._fingerprint(first, last))
            first = last

    def _ids(self, lower: int, upper: int) -> list[bytes]:
        return [item[1] for item in self._items[lower:upper]]

    def _fingerprint(self, lower: int, upper: int) -> bytes:
        return _fingerprint(self._sums[upper] - self._sums[lower], upper - lower)

    def _bound_at(self, index: int) -> Bound:
        """Return the shortest bound between an item and the one before it."""
        (date, before), (next_date, item_id) = self._items[index - 1 : index + 1]
        if date != next_date:
            return next_date, b""
        same = next(at for at in range(ID_BYTES) if before[at] != item_id[at])
        return next_date, item_id[: same + 1]
