"""How fast requests of remote write are read: 2,000 series of which a tenth are wanted, unpacked and then read.

`python -m bench.push_requests` prints milliseconds of processor time for each request, with and without a rollout that wants any.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from tidegate.prometheus.push.request import Found, Message, read
from tidegate.prometheus.push.snappy import Block

WANTED = frozenset({b"http_requests_total"})


def varint(number: int) -> bytes:
    """Return a whole number as protobuf has it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def field(number: int, body: bytes) -> bytes:
    """Return a field that holds bytes."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def request(series: int) -> bytes:
    """Return a request of 2.0 with this many series of 50 pods, each tenth of them of the wanted name."""
    symbols, body = {"": 0}, b""
    for number in range(series):
        labels = {
            "__name__": "http_requests_total" if number % 10 == 0 else f"metric_{number % 200}",
            "code": str(200 + number % 5),
            "instance": f"10.0.{number % 50}.1:8080",
            "job": "pods",
            "namespace": "shop",
            "pod": f"checkout-{number % 50}-abcde",
        }
        refs = b"".join(varint(symbols.setdefault(text, len(symbols))) for pair in labels.items() for text in pair)
        sample = b"\x09" + bytes(6) + bytes([number % 256, 0x40]) + b"\x10" + varint(1_767_268_800_000 + number % 3)
        body += field(5, field(1, refs) + field(2, sample))
    return b"".join(field(4, text.encode()) for text in symbols) + body


def packed(data: bytes) -> bytes:
    """Return a block of Snappy, with a copy of up to 64 bytes wherever eight are alike."""
    out, seen, at, begun = bytearray(varint(len(data))), dict[bytes, int](), 0, 0

    def literal(end: int) -> None:
        for place in range(begun, end, 60):
            out.extend(bytes([(min(60, end - place) - 1) << 2]) + data[place : min(end, place + 60)])

    while at < len(data):
        before = seen.get(data[at : at + 8])
        seen[data[at : at + 8]] = at
        if before is None or at - before > 0xFFFF or at + 8 > len(data):
            at += 1
            continue
        size = 8
        while size < 64 and at + size < len(data) and data[before + size] == data[at + size]:
            size += 1
        literal(at)
        out += bytes([(size - 1) << 2 | 2]) + (at - before).to_bytes(2, "little")
        at += size
        begun = at
    literal(len(data))
    return bytes(out)


def unpack(block: bytes) -> bytes:
    """Unpack a request, turn by turn."""
    one = Block(block)
    while not one.work():
        pass
    return one.unpacked


def found_in(data: bytes, names: AbstractSet[bytes]) -> Found:
    """Read a request, turn by turn."""
    found = Found()
    for _ in read(Message.V2, data, names, found):
        pass
    return found


def milliseconds(work: Callable[[], object], times: int) -> float:
    """Return the processor time of the fastest of so many tries."""
    best = float("inf")
    for _ in range(times):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return 1000 * best


def main() -> None:
    """Print what a request costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    data = request(options.series)
    block = packed(data)
    assert unpack(block) == data
    wanted = len(found_in(data, WANTED).series)
    print(f"{options.series} series, {wanted} of them wanted; {len(data):,} bytes, {len(block):,} packed")
    print(f"unpack: {milliseconds(lambda: unpack(block), options.times):.1f} ms")
    print(f"read: {milliseconds(lambda: found_in(data, WANTED), options.times):.1f} ms")
    print(f"read where nobody wants any: {milliseconds(lambda: found_in(data, frozenset()), options.times):.1f} ms")


if __name__ == "__main__":
    main()
