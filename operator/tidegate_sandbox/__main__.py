"""``python -m tidegate_sandbox`` is ``tidegate-sandbox``."""

from tidegate_sandbox.cli import main

main()
