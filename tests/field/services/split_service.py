"""The demo service; while the file ILL_FILE is there, it answers every request with 500."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tidegate_sandbox import demo_service


class Told(demo_service.Behaviour):
    """Fails when told to."""

    def fails(self) -> bool:
        return Path(os.environ["ILL_FILE"]).exists()


if __name__ == "__main__":
    demo_service.Behaviour = Told  # type: ignore[misc]
    sys.exit(demo_service.main())
