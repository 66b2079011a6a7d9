"""Releases of another cluster: who may look at what, what is kept of it, and what is known while it is away."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cluster.config import ClusterConfig
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe import clusters
from tidegate.controller.observe.clusters import RETRY_SECONDS, Clusters
from tidegate.controller.observe.upstreams import shown_of, view_of
from tidegate.governance.upstreams import UpstreamView
from tidegate.runtime.clock import ManualClock
from unit.cluster.loopback import until
from unit.controller.west import West, certificate

NAME = "checkout"
COLLECTION = RELEASES.path()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SSLContext]:
    """Return a folder with an authority, and what a server with its certificate speaks."""
    folder = tmp_path_factory.mktemp("west")
    return folder, certificate(folder)


@pytest.fixture
async def west(tls: tuple[Path, SSLContext]) -> AsyncIterator[West]:
    """v1 is promoted in staging there, and something else in a namespace that nobody here may look at."""
    west = West(tls[1])
    west.put("staging", NAME, "v1")
    west.put("secret", NAME, "v9")
    await west.start()
    yield west
    await west.stop()


@dataclass
class East:
    """What this cluster knows of the other one."""

    clusters: Clusters
    clock: ManualClock
    turned: list[str]
    changed: list[str]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def view(self, own: str = "production", cluster: str = "west", namespace: str = "staging") -> UpstreamView:
        return self.clusters.view(own, cluster, namespace, NAME)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let time pass, second by second, until something is so."""
        for _ in range(2000):
            if holds():
                return
            # What happens behind a socket takes turns of the loop, not time of this clock.
            await asyncio.sleep(0.002)
            if self.clock.sleepers:
                self.clock.advance(1.0)
        raise AssertionError(self.view())


@asynccontextmanager
async def looking(kubeconfig: Path) -> AsyncIterator[East]:
    """Production may look at staging in west."""
    clock, turned, changed = ManualClock(), [], []
    config = ClusterConfig.model_validate(
        {"kubeconfig": str(kubeconfig), "allow": [{"from": ["production"], "to": ["staging"]}]}, by_alias=True, by_name=False
    )
    found = Clusters(
        {"west": config},
        clock=clock,
        jitter=random.Random(1),
        changed=lambda cluster, change: changed.append(f"{cluster}/{change.key.namespace}/{change.key.name}"),
        turned=turned.append,
    )
    east = East(found, clock, turned, changed)
    east.tasks += [asyncio.create_task(part) for _, part in found.parts()]
    try:
        yield east
    finally:
        for task in east.tasks:
            task.cancel()
        await asyncio.gather(*east.tasks, return_exceptions=True)


@pytest.fixture
async def east(west: West, tls: tuple[Path, SSLContext], tmp_path: Path) -> AsyncIterator[East]:
    """What is there is known."""
    async with looking(west.kubeconfig(tmp_path / "kubeconfig", tls[0])) as east:
        await east.until(lambda: not east.view().unread)
        await east.until(lambda: bool(west.watches))
        yield east


async def test_a_release_there_is_seen_with_its_cluster(east: East) -> None:
    """What proves is read as it is here; its name says where it is."""
    found = east.view()

    assert (found.name, found.version, found.images) == ("checkout in staging (cluster west)", "v1", {"app": "checkout:v1"})
    assert found.uid.startswith("staging-checkout-")
    assert not east.clusters.view("production", "west", "staging", "ledger").exists


@pytest.mark.parametrize(
    ("own", "cluster", "namespace"),
    [
        ("other", "west", "staging"),
        ("production", "west", "secret"),
        ("production", "east", "staging"),
        ("staging", "west", "staging"),
    ],
)
async def test_whoever_may_not_look_learns_nothing(east: East, own: str, cluster: str, namespace: str) -> None:
    """Not even whether there is such a cluster, such a namespace or such a Release."""
    found = east.view(own, cluster, namespace)

    closed = f"the operator's configuration lets no Release of {own} read those of {namespace} there"
    assert found == UpstreamView(
        release=NAME, namespace=namespace, cluster=cluster, unread=f"{closed}; allow it in clusters.{cluster}.allow"
    )


async def test_nothing_is_asked_but_a_list_and_a_watch_and_little_is_kept(east: East, west: West) -> None:
    """Of Releases alone; of these what proves a version, and of namespaces that nobody may look at nothing."""
    kept = json.dumps([dict(found) for found in east.clusters._others["west"]._store.objects("Release")])

    assert set(west.asked) == {("GET", COLLECTION)}
    assert len(west.asked) == 2
    assert "secret" not in kept
    assert "what nobody elsewhere may read" not in kept


async def test_changes_that_may_prove_are_told_and_others_are_not(east: East, west: West) -> None:
    """As within a cluster: a look of a gate there wakes nobody here."""
    east.changed.clear()
    west.put("staging", NAME, "v1", phase="Progressing", weight=5)
    west.put("secret", NAME, "v10")
    west.put("staging", NAME, "v2")
    await until(lambda: east.view().version == "v2")
    assert east.changed == ["west/staging/checkout"]

    west.put("staging", NAME, None)
    await until(lambda: not east.view().exists)
    west.put("staging", NAME, "v3")
    await until(lambda: east.view().version == "v3")

    assert east.changed == ["west/staging/checkout"] * 3


async def test_a_cluster_that_is_away_proves_nothing_and_comes_back_by_itself(east: East, west: West, tmp_path: Path) -> None:
    """It says since when, in words that stay; it is asked now and then."""
    east.turned.clear()
    await west.stop()
    await east.until(lambda: bool(east.view().unread))
    first, asked = east.view(), len(west.asked)
    east.clock.advance(3600)
    await east.until(lambda: east.turned == ["west"])

    assert east.view() == first
    cure = "check that its API server runs, and that the operator can reach it (clusters.west.kubeconfig)"
    assert first.unread == f"nothing was heard from cluster west since Thu 2026-01-01 00:00 UTC; {cure}"
    assert (first.version, first.images) == ("", {})

    await west.start()
    await east.until(lambda: not east.view().unread)
    assert east.view().version == "v1"
    await east.until(lambda: east.turned == ["west", "west"])
    assert len(west.asked) - asked <= 4


async def test_while_it_is_away_it_is_asked_every_ten_seconds_and_nothing_grows(
    west: West, tls: tuple[Path, SSLContext], tmp_path: Path
) -> None:
    """An API server that refuses is asked no more often than one that does not answer."""
    west.refuses = 503
    async with looking(west.kubeconfig(tmp_path / "kubeconfig", tls[0])) as east:
        await east.until(lambda: len(west.asked) >= 10)
        began, before = east.clock.monotonic(), len(west.asked)
        await east.until(lambda: east.clock.monotonic() > began + 200)

        assert len(west.asked) - before <= 200 / 8 + 1
        assert east.turned == ["west"]
        assert east.clusters._others["west"]._store.count("Release") == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "cluster west lets the operator read no Releases; renew the credentials in clusters.west.kubeconfig, or give"),
        (403, "cluster west lets the operator read no Releases; renew the credentials in clusters.west.kubeconfig, or give"),
        (404, "cluster west knows no Releases; install Tidegate's kinds there"),
    ],
)
async def test_what_it_refuses_is_said_with_the_cure(
    west: West, tls: tuple[Path, SSLContext], tmp_path: Path, status: int, words: str
) -> None:
    """In our own words: what the other cluster answers is for nobody here."""
    west.refuses = status
    async with looking(west.kubeconfig(tmp_path / "kubeconfig", tls[0])) as east:
        await east.until(lambda: words in east.view().unread)
        west.refuses = 0
        await east.until(lambda: east.view().version == "v1")


async def test_a_kubeconfig_may_come_later_and_lead_elsewhere(west: West, tls: tuple[Path, SSLContext], tmp_path: Path) -> None:
    """Until it is there its Releases wait and say so; what leads to another server is followed there, with nothing kept."""
    path = tmp_path / "kubeconfig"
    async with looking(path) as east:
        await east.until(lambda: "no such file" in east.view().unread)
        assert east.view().unread == "cluster west cannot be reached: clusters.west.kubeconfig: no such file; fix that file"
        path.write_text("a: b")
        await east.until(lambda: "current-context: names nothing in contexts" in east.view().unread)
        west.kubeconfig(path, tls[0])
        await east.until(lambda: east.view().version == "v1")

        other = West(tls[1])
        await other.start()
        other.kubeconfig(path, tls[0])
        await east.until(lambda: not east.view().unread and not east.view().exists)
        await until(lambda: not west.watches)
        await other.stop()


async def test_more_releases_than_are_kept_are_not_taken_for_gone(east: East, west: West, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody has room for is not known, which is something else than not there."""
    monkeypatch.setattr(clusters, "MOST", 1)
    west.put("staging", "ledger", "v1")
    await until(lambda: bool(west.watches))

    found = east.clusters.view("production", "west", "staging", "ledger")
    assert found.unread == "cluster west has more than 1 Releases in the namespaces that may be read; allow fewer in clusters.west"
    assert east.view().version == "v1"


async def test_an_answer_that_is_none_disturbs_nobody(east: East, west: West) -> None:
    """Objects without names, and whatever else no API server sends."""
    for watch in list(west.watches):
        watch.put_nowait({"type": "MODIFIED", "object": {"metadata": {"resourceVersion": "9999"}}})
    await east.until(lambda: len(west.asked) > 3)
    await east.until(lambda: east.view().version == "v1")

    assert not any(task.done() for task in east.tasks)


TEXTS = st.text(max_size=20) | st.none() | st.integers(0, 9) | st.just("2026-01-01T00:00:00Z")
STABLES = st.dictionaries(
    st.sampled_from(
        ["revision", "version", "replicas", "ready", "trouble", "images", "promotedAt", "rolledBackAt", "digest", "odd"]
    ),
    TEXTS | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)


@given(stable=STABLES | TEXTS, phase=st.sampled_from(["RollingBack", "Idle", None]), deleted=st.booleans())
def test_what_is_kept_shows_what_the_whole_shows(*, stable: Any, phase: str | None, deleted: bool) -> None:
    """No status, sound or not, is seen otherwise for being made small."""
    metadata = {"namespace": "staging", "name": NAME, "uid": "1", "resourceVersion": "7", "labels": {"a": "b"}}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    whole = {"metadata": metadata, "spec": {"x": "y"}, "status": {"stable": stable, "phase": phase, "message": "long"}}

    assert view_of(shown_of(whole), "staging", NAME, "west") == view_of(whole, "staging", NAME, "west")


def test_what_is_kept_is_small_whoever_has_written_it() -> None:
    """A cluster that sends what no API server would accept costs no more than one that does not."""
    huge = {"revision": "a", "images": {f"c{n}": "x" * 10_000 for n in range(1000)}, "version": "v" * 100_000}
    metadata = {"namespace": "staging", "name": NAME, "uid": "u" * 100_000, "resourceVersion": "7"}

    assert len(json.dumps(shown_of({"metadata": metadata, "status": {"stable": huge}}))) < 1000
    named = {"revision": "a", "images": {"c" * 5_000_000: "x"}, "version": "v1"}
    assert len(json.dumps(shown_of({"metadata": metadata, "status": {"stable": named}}))) < 1000


def test_the_wait_between_looks_at_a_kubeconfig_is_short() -> None:
    """A Secret that was made is found within seconds."""
    assert RETRY_SECONDS <= 10
