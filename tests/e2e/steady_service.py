"""The demo service with its errors spread evenly: of any 200 answers at 0.5%, one is an error.

A test whose verdict hangs on a share of errors must not hang on luck as well.
"""

from __future__ import annotations

import sys

from tidegate_sandbox import demo_service


class Steady(demo_service.Behaviour):
    """Fails each time the errors due exceed the errors given."""

    def __init__(self, settings: demo_service.Settings) -> None:
        super().__init__(settings)
        self._share, self._due = settings.error_rate, 0.0

    def fails(self) -> bool:
        self._due += self._share
        if self._due < 1:
            return False
        self._due -= 1
        return True


if __name__ == "__main__":
    demo_service.Behaviour = Steady  # type: ignore[misc]
    sys.exit(demo_service.main())
