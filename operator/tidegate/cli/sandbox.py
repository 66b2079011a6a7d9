"""The entry point ``tidegate-sandbox``: the sandbox itself is a tool of the checkout, not a part of the package."""

import sys


def main() -> None:
    """Run the sandbox's command line, or say where to get it."""
    try:
        from tidegate_sandbox.cli import main as sandbox
    except ModuleNotFoundError as missing:
        if missing.name is None or not missing.name.startswith("tidegate_sandbox"):
            raise
        sys.exit(
            "tidegate-sandbox: the sandbox is not part of the operator's package and image."
            " Install Tidegate from a checkout: pip install --editable '.[dev]'"
        )
    sandbox()
