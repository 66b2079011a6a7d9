"""Has the C library give memory back: with many series, half of the operator's memory was what nobody used any more."""

from __future__ import annotations

import ctypes

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""Numbers of parameters in glibc's malloc.h."""
_LARGE = 128 * 1024
"""Bytes of a block that is mapped by itself. As a fixed number: else it grows with each large block that is freed."""


def gives_back() -> bool:
    """Keep all threads to one arena, and large blocks out of it; return whether that could be said.

    Answers of some MiB are read in threads. By default each thread gets an arena of its own, which such blocks make large, and
    which is never given back: half of the memory of an operator with many series, as measured. Python runs one thread at a time, so
    that one arena makes nobody wait.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library, which has arenas of other kinds, or none
    return bool(mallopt(_ARENA_MAX, 1) and mallopt(_MMAP_THRESHOLD, _LARGE))
