"""Tells whoever waits how far a measurement is."""

from __future__ import annotations

import sys
import time


def say(text: str) -> None:
    """Tell how far it is, on standard error."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
