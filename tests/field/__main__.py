"""Plays what teams have met in the field, on a cluster with real pods, gateway and Prometheus, and says what becomes of it.

tidegate-sandbox run -- env PYTHONPATH=tests python -m field
... python -m field --only two-deployments
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import sys
import tempfile
from pathlib import Path

from api.cluster_access import kubectl
from api.cluster_client_access import api_server, kubeconfig_with
from e2e.conftest import ACCOUNT, SYSTEM, install
from field import cases, report
from field.case import Case
from field.corner import Ground
from field.play import Result, play
from tidegate_sandbox.cluster import ClusterInfo


def main() -> int:
    """Play what the command line asks for; the exit status is 1 where a case is not right."""
    parser = argparse.ArgumentParser(prog="field", description="Plays cases of the field, and says what becomes of them.")
    parser.add_argument("--only", action="append", metavar="CASE", help="names of cases, with * and ?")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    parser.add_argument("--side-by-side", type=int, default=2, metavar="N", help="cases at a time (default: 2)")
    parser.add_argument("--report", type=Path, default=Path("build/field.json"), help="where the result goes")
    arguments = parser.parse_args()
    wanted = [one for one in cases.ALL if any(fnmatch.fnmatchcase(one.name, name) for name in arguments.only or ["*"])]
    if arguments.list:
        print("\n".join(f"{one.name:<28} {one.kind}: {one.story}" for one in wanted))
        return 0
    if not wanted:
        print(f"there is no case {', '.join(arguments.only)}; --list names them", file=sys.stderr)
        return 1
    results = asyncio.run(_play(wanted, arguments.side_by_side))
    report.write(arguments.report, results)
    print(f"\n{report.table(results)}")
    return 0 if all(one.right for one in results) else 1


async def _play(wanted: list[Case], side_by_side: int) -> list[Result]:
    await asyncio.to_thread(install, held_by_policy=True)
    gate = asyncio.Semaphore(side_by_side)
    with tempfile.TemporaryDirectory(prefix="tidegate-field-") as name:
        folder = Path(name)
        token = kubectl("create", "token", ACCOUNT, "--namespace", SYSTEM, "--duration=6h").strip()
        kubeconfig = kubeconfig_with(token, folder / "kubeconfig")

        async with api_server() as admin:
            ground = Ground(ClusterInfo.from_environment(), admin, kubeconfig, folder)

            async def one(case: Case) -> Result:
                async with gate:
                    result = await play(ground, case)
                print(report.line(result), flush=True)
                return result

            return list(await asyncio.gather(*map(one, wanted)))


if __name__ == "__main__":
    sys.exit(main())
