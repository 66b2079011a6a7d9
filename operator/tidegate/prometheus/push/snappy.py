"""Unpacks a block of Snappy, in which requests of remote write come: bounded before anything is unpacked, and in turns.

https://github.com/google/snappy/blob/main/format_description.txt. A library would unpack a request in one go, with native code on
what anybody on the network sends; here a request is a few ten kilobytes, and each turn is as short as its caller wants it.
"""

from __future__ import annotations

_LONGEST_HEADER = 5
_LONGEST = (1 << 32) - 1
_IN_TAG = 60
"""Lengths of literals below this stand in the tag itself; from there on so many bytes behind it have them."""
_SEVERAL_BYTES = 59


class SnappyError(ValueError):
    """The bytes are no block of Snappy."""

    def __init__(self) -> None:
        super().__init__("the body is not compressed with Snappy (block format)")


class Block:
    """A block that is unpacked turn by turn.

    Args:
        block: the bytes.

    Raises:
        SnappyError: it says nowhere how long it is.
    """

    def __init__(self, block: bytes) -> None:
        self._block, self._out = block, bytearray()
        self.length, self._at = _length(block)
        """Of what is unpacked, as the block itself says; it is held to that."""

    def work(self, elements: int = 4000) -> bool:
        """Unpack so many elements more, and return whether that was all.

        Raises:
            SnappyError: it is no block of Snappy, or not as long as it says.
        """
        block, out, at, end, length = self._block, self._out, self._at, len(self._block), self.length
        for _ in range(elements):
            if at >= end:
                if len(out) != length:
                    raise SnappyError
                return True
            tag = block[at]
            at += 1
            kind = tag & 3
            if kind == 0:
                size, at = _literal(block, tag >> 2, at, end)
                if len(out) + size > length:
                    raise SnappyError
                out += block[at : at + size]
                at += size
                continue
            behind = 4 if kind == 3 else kind
            if at + behind > end:
                raise SnappyError
            if kind == 1:
                size, offset = (tag >> 2 & 7) + 4, tag >> 5 << 8 | block[at]
            else:
                size, offset = (tag >> 2) + 1, int.from_bytes(block[at : at + behind], "little")
            at += behind
            begin = len(out) - offset
            if begin < 0 or not offset or len(out) + size > length:
                raise SnappyError
            if offset >= size:
                out += out[begin : begin + size]
            else:
                # It copies what it is just writing: a pattern.
                out += (out[begin:] * (size // offset + 1))[:size]
        self._at = at
        return False

    @property
    def unpacked(self) -> bytes:
        """What was unpacked."""
        return bytes(self._out)


def _length(block: bytes) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(block[:_LONGEST_HEADER]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80 and value <= _LONGEST:
            return value, place + 1
    raise SnappyError


def _literal(block: bytes, size: int, at: int, end: int) -> tuple[int, int]:
    """Return the length of a literal, and where it begins."""
    if size >= _IN_TAG:
        behind = size - _SEVERAL_BYTES
        size, at = int.from_bytes(block[at : at + behind], "little"), at + behind
    size += 1
    if size > end - at:
        raise SnappyError
    return size, at
