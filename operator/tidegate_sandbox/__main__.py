"""``python -m tidegate_sandbox`` is ``tidegate-sandbox``, for where no entry point is installed, as in a checkout on a path."""

from tidegate_sandbox.cli import main

main()
