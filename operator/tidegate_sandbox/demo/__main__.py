"""``python -m tidegate_sandbox.demo``: brings up a cluster of its own and runs the demo inside."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from tidegate_sandbox import binaries, preflight, toolchain
from tidegate_sandbox.cluster import FAILED
from tidegate_sandbox.demo import programs, scenario


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 0 where every outcome and limit is as said, 125 where the cluster did not come up."""
    parser = argparse.ArgumentParser(prog="python -m tidegate_sandbox.demo", description=__doc__)
    parser.add_argument("--inside", type=float, metavar="BEGUN", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside is not None:
        from tidegate_sandbox.demo import inside

        return inside.main(options.inside)
    print("Tidegate's demo: two good versions are promoted, two bad ones are shut out. It takes some two minutes.", flush=True)
    try:
        preflight.check_platform()
        preflight.check_isolation()
        binaries.ensure(scenario.cluster().programs())
    except (binaries.BuildError, preflight.LackingError, toolchain.ToolchainError) as missing:
        print(f"demo: {missing}", file=sys.stderr)
        return FAILED
    return _go_inside()


def _go_inside() -> NoReturn:
    """Become ``tidegate-sandbox run``: it takes everything down, whatever happens to this process."""
    scenario.BUILD.mkdir(exist_ok=True)
    scenario.REPORT.unlink(missing_ok=True)
    images = scenario.BUILD / "demo-images.json"
    images.write_text(json.dumps(scenario.images(), indent=2))
    sandbox = [sys.executable, "-m", "tidegate_sandbox", "run", f"--parts={','.join(programs.PARTS)}", f"--images={images}"]
    demo = [sys.executable, "-m", "tidegate_sandbox.demo", f"--inside={time.time()}"]
    os.execv(sys.executable, [*sandbox, "--", *demo])  # noqa: S606 - arguments are a list, and there is no shell to escape from


if __name__ == "__main__":
    sys.exit(main())
