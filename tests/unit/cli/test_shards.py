"""`tidegate shards`: who works on which shard, from the Leases."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tidegate.runtime.sharding import shard_of
from unit.cli.conftest import Server, Tidegate

Json = dict[str, Any]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/tidegate-system/leases/"


def lease(holder: str, seconds: float = 1.0) -> Json:
    renewed = datetime.now(UTC) - timedelta(seconds=seconds)
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 30, "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    return {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"resourceVersion": "1"}, "spec": spec}


Shards = Callable[..., Any]


@pytest.fixture
def shards(cluster: Callable[[Json], tuple[Server, Path]], tidegate: Tidegate) -> Shards:
    """Ask an API server that has these Leases."""

    def run(leases: Json, *arguments: str) -> Any:
        _, kubeconfig = cluster({LEASES + name: found for name, found in leases.items()})
        return tidegate("shards", *arguments, "--kubeconfig", kubeconfig)

    return run


def of_three(**more: Json) -> Json:
    held = {f"tidegate-shard-{number}": lease(f"tidegate-{name}_0123456789ab.1") for number, name in enumerate("abc")}
    return {"tidegate": lease("3 shards")} | held | {name.replace("_", "-"): one for name, one in more.items()}


def test_each_shard_is_shown_with_its_replica(shards: Shards) -> None:
    """The pod's name, and when it was heard last."""
    done = shards(of_three())

    lines = [line.split() for line in done.stdout.splitlines()]
    assert 0 == done.exit_code
    assert [["SHARD", "REPLICA"], ["0", "tidegate-a"], ["1", "tidegate-b"], ["2", "tidegate-c"]] == [line[:2] for line in lines]
    assert all(line[3:] == ["s", "ago"] for line in lines[1:])


def test_of_a_release_its_own_is_shown(shards: Shards) -> None:
    """Which one that is follows from namespace and name, so no Release has to be there."""
    document = json.loads(shards(of_three(), "checkout", "--namespace", "shop", "-o", "json").stdout)

    assert [shard_of("shop", "checkout", 3)] == [one["shard"] for one in document]


def test_shard_that_nobody_holds_is_told(shards: Shards) -> None:
    """Given a Lease that has run out, one that was given up or one that is not there, the command says so and ends with 1."""
    gone = of_three(tidegate_shard_0=lease("tidegate-a_0123456789ab.1", seconds=60), tidegate_shard_1=lease(""))
    del gone["tidegate-shard-2"]
    done = shards(gone, "-o", "json")

    assert 1 == done.exit_code
    assert [None, None, None] == [one["replica"] for one in json.loads(done.stdout)]


def test_single_leader_works_on_all(shards: Shards) -> None:
    """Without shards there is one row: of who leads."""
    done = shards({"tidegate": lease("tidegate-a_01234567")}, "-o", "json")

    assert [(0, "tidegate-a")] == [(one["shard"], one["replica"]) for one in json.loads(done.stdout)]


def test_leases_that_cannot_be_read_are_an_error(shards: Shards) -> None:
    """Given no Lease at all, as in another namespace, the command says what is missing and ends with 2."""
    done = shards({})

    assert 2 == done.exit_code
    assert "leases.coordination.k8s.io tidegate" in done.stderr
