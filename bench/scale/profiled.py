"""Runs the operator and notes where it spends its time: `python -m bench.scale.profiled FILE run --config ...`.

A thread looks at the stacks of all others a hundred times a second, and counts each for the processor time that its thread has
used since. That costs little, so the shares are those of the plain process; calls are not counted. Where a file FILE.next is made,
it goes on in another file. With MEMORY=1 in the environment it notes what was allocated where instead, which makes it slow.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY = 0.01


class Sampler(threading.Thread):
    """Counts stacks until the process ends.

    Args:
        path: file that takes what was seen; a number is put before its suffix when it begins anew.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True, name="profile")
        self._path = path
        self._part = 0
        self._next = path.with_name(f"{path.name}.next")
        self._used: dict[int, float] = {}
        self._gc_began = 0.0
        self._clear()

    def _clear(self) -> None:
        self._alone: Counter[str] = Counter()
        self._within: Counter[str] = Counter()
        self._stacks: Counter[str] = Counter()
        self._samples = self._busy = 0
        self._collections: Counter[int] = Counter()
        self._collecting: Counter[int] = Counter()
        self._longest = 0.0

    def collected(self, phase: str, info: dict[str, int]) -> None:
        """Be told when the garbage collector begins and ends."""
        if phase == "start":
            self._gc_began = time.perf_counter()
            return
        seconds, generation = time.perf_counter() - self._gc_began, info["generation"]
        self._collections[generation] += 1
        self._collecting[generation] += round(seconds * 1e6)
        self._longest = max(self._longest, seconds)

    def run(self) -> None:
        """Sample."""
        while True:
            time.sleep(EVERY)
            self._samples += 1
            if self._samples % 10 == 0 and self._next.exists():
                self.write()
                self._clear()
                self._part += 1
                self._next.unlink()
            for ident, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other way to see other threads
                if ident != self.ident and (micros := self._since(ident)) > 0:
                    self._take(frame, micros)

    def _since(self, ident: int) -> int:
        """Return the microseconds of processor time that a thread has used since the last look at it."""
        try:
            used = time.clock_gettime(time.pthread_getcpuclockid(ident))
        except OSError:
            return 0
        before = self._used.get(ident, used)
        self._used[ident] = used
        return round((used - before) * 1e6)

    def _take(self, frame: FrameType, micros: int) -> None:
        names: list[str] = []
        at: FrameType | None = frame
        while at is not None:
            names.append(_name(at))
            at = at.f_back
        self._busy += micros
        self._alone[names[0]] += micros
        for name in set(names):
            self._within[name] += micros
        self._stacks[" < ".join(names[:10])] += micros

    def write(self) -> None:
        """Write what was seen so far."""
        if tracemalloc.is_tracing():
            self._write_memory()
            return
        whole = max(1, self._busy)
        lines = [f"{self._samples} looks, {self._busy / 1e6:.2f} s of processor time"]
        lines += [
            f"garbage collector, generation {at}: {n} times, {self._collecting[at] / 1e6:.2f} s"
            for at, n in self._collections.items()
        ]
        lines += [f"its longest pause: {self._longest * 1000:.1f} ms, {len(gc.get_objects())} objects", "", "with what they call:"]
        lines += [f"{100 * count / whole:6.1f}%  {name}" for name, count in self._within.most_common(110)]
        lines += ["", "alone:"]
        lines += [f"{100 * count / whole:6.1f}%  {name}" for name, count in self._alone.most_common(70)]
        lines += ["", "stacks, innermost first:"]
        lines += [f"{100 * count / whole:6.1f}%  {name}" for name, count in self._stacks.most_common(40)]
        self._put(lines)

    def _write_memory(self) -> None:
        snapshot = tracemalloc.take_snapshot()
        whole = sum(trace.size for trace in snapshot.traces)
        lines = [f"{whole / 1e6:.1f} MB in {len(snapshot.traces)} pieces", "", "by line:"]
        lines += [f"{one.size / 1e6:8.2f} MB {one.count:8}  {one.traceback}" for one in snapshot.statistics("lineno")[:60]]
        lines += ["", "by stack, innermost last:"]
        for found in snapshot.statistics("traceback")[:40]:
            places = " > ".join(f"{'/'.join(Path(at.filename).parts[-2:])}:{at.lineno}" for at in found.traceback)
            lines.append(f"{found.size / 1e6:8.2f} MB {found.count:8}  {places}")
        self._put(lines)

    def _put(self, lines: list[str]) -> None:
        self._path.with_suffix(f".{self._part}{self._path.suffix}").write_text("\n".join(lines) + "\n")


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_qualname}"


def main() -> None:
    """Run the command line of the operator."""
    path, *arguments = sys.argv[1:]
    if os.environ.get("MEMORY"):
        tracemalloc.start(5)
    sampler = Sampler(Path(path))
    gc.callbacks.append(sampler.collected)
    sampler.start()
    atexit.register(sampler.write)
    from tidegate.cli.main import app

    app(arguments)


if __name__ == "__main__":
    main()
