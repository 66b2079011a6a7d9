"""``python -m tidegate_sandbox.demo.programs``: the demo's programs, built while packages are still being installed.

It needs nothing but Python's own library.
"""

import sys

from tidegate_sandbox import binaries, preflight, toolchain
from tidegate_sandbox.cluster import FAILED, ClusterSpec

PARTS = ("api", "controllers", "process-nodes", "gateway", "prometheus")
"""Of the demo's cluster."""


def main() -> int:
    """Build what is missing. Returns 125 where something the machine lacks is in the way."""
    try:
        preflight.check_platform()
        preflight.check_isolation()
        # Envoy comes as a package.
        binaries.ensure(ClusterSpec(PARTS).programs() - {"envoy"})
    except (binaries.BuildError, preflight.LackingError, toolchain.ToolchainError) as missing:
        print(f"demo: {missing}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
