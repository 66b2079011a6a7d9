"""Cases of the field that CI plays: a sample that covers each kind of fault which is mended. `make field` plays them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.story import on_the_cluster
from field import cases
from field.case import Case
from field.corner import Ground
from field.play import play
from tidegate.cluster.client import Cluster
from tidegate_sandbox.cluster import ClusterInfo

pytestmark = on_the_cluster


@pytest.mark.parametrize("case", cases.SAMPLE, ids=lambda case: case.name)
async def test_case(case: Case, sandbox: ClusterInfo, admin: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    """What a team has met in the field ends as it should, and no request fails for the rollout's sake."""
    result = await play(Ground(sandbox, admin, kubeconfig, tmp_path), case)

    assert result.right, f"{result.story}: {result.wrong}\n{result.account}"
