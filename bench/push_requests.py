"""How fast requests of remote write are read: 2,000 series of which a tenth are wanted, unpacked and then read.

`python -m bench.push_requests` prints milliseconds of processor time for each request, with and without a rollout that wants any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

from tidegate.prometheus.push.request import Found, Message, read
from tidegate.prometheus.push.snappy import Block

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from unit.prometheus.pushed import packed, series, v2

WANTED = frozenset({b"http_requests_total"})


def request(number: int) -> bytes:
    """Return a request of 2.0 with so many series of 50 pods, each tenth of them of the wanted name."""
    return v2(
        *(
            series(
                "http_requests_total" if place % 10 == 0 else f"metric_{place % 200}",
                (1_767_268_800_000 + place % 3, float(place)),
                code=str(200 + place % 5),
                instance=f"10.0.{place % 50}.1:8080",
                job="pods",
                pod=f"checkout-{place % 50}-abcde",
            )
            for place in range(number)
        )
    )


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
    block = packed(data, 8)
    assert unpack(block) == data
    wanted = len(found_in(data, WANTED).series)
    print(f"{options.series} series, {wanted} of them wanted; {len(data):,} bytes, {len(block):,} packed")
    print(f"unpack: {milliseconds(lambda: unpack(block), options.times):.1f} ms")
    print(f"read: {milliseconds(lambda: found_in(data, WANTED), options.times):.1f} ms")
    print(f"read where nobody wants any: {milliseconds(lambda: found_in(data, frozenset()), options.times):.1f} ms")


if __name__ == "__main__":
    main()
