"""``python -m tidegate_sandbox.walkthrough``: brings up a cluster of its own and plays the walkthrough inside."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

PARTS = "api,controllers,kwok"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play it. Returns 0 where every act ended as it should."""
    parser = argparse.ArgumentParser(prog="python -m tidegate_sandbox.walkthrough", description=__doc__)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args(arguments).inside:
        from tidegate_sandbox.walkthrough import play

        return play.main()
    print("Tidegate's walkthrough: one version from dev to production, by what three people type. It takes a minute.", flush=True)
    return _go_inside()


def _go_inside() -> NoReturn:
    """Become ``tidegate-sandbox run``: it takes everything down, whatever happens to this process."""
    sandbox = [sys.executable, "-m", "tidegate_sandbox", "run", f"--parts={PARTS}"]
    inside = [sys.executable, "-m", "tidegate_sandbox.walkthrough", "--inside"]
    os.execv(sys.executable, [*sandbox, "--", *inside])  # noqa: S606 - arguments are a list, and there is no shell to escape from


if __name__ == "__main__":
    sys.exit(main())
