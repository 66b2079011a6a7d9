"""What an operator of one shard keeps, looks at and leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.client import Configuration
from prometheus_client import generate_latest

from tidegate.api.names import LABEL_RELEASE
from tidegate.cluster.connection import Connection
from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.references import References, ReleaseKey
from tidegate.controller.observe.relations import Relations
from tidegate.controller.process import config
from tidegate.controller.process.handover import knows, note
from tidegate.controller.process.leadership import Terms
from tidegate.controller.process.shard_metrics import ShardMetrics
from tidegate.controller.process.shards import Shards
from tidegate.controller.process.slot import Both
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.errors import Terminal
from tidegate.runtime.sharding import Shard, shard_of
from tidegate.runtime.shelf import BareError, Key
from tidegate.runtime.spare import Spare
from tidegate.runtime.store import Change, Store
from tidegate.traffic.routers import Routers

COUNT, NAMESPACE = 3, "shop"
RELATIONS = Relations(Routers.all())
OURS = Shard(0, COUNT)


def names(shard: int) -> Iterator[str]:
    """Yield names of Releases of a shard."""
    return (name for name in (f"service-{number}" for number in range(1000)) if shard_of(NAMESPACE, name, COUNT) == shard)


MINE, OTHER = next(names(0)), next(names(1))


def release(name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "resourceVersion": str(version)}
    whole = {"targetRef": {"name": name}, "policyRef": {"name": "production"}, **spec}
    return {"kind": "Release", "metadata": metadata, "spec": whole, "status": {"phase": "Idle", "weight": 0}}


def deployment(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "uid": f"d-{name}", "resourceVersion": "1", "labels": {LABEL_RELEASE: name}}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}


class Place:
    """The caches of an operator of shard 0, as `App` puts them together."""

    def __init__(self) -> None:
        self.references = References(RELATIONS, OURS)
        # Without room for what nobody needs.
        self.store = Store(ManualClock(), labels=(LABEL_RELEASE,), needed=self.references.need, spare=Spare(room=0))
        self.store.on_change("Release", lambda change: self.store.let_go(self.references.learn(self.key(change), change.new)))

    @staticmethod
    def key(change: Change) -> ReleaseKey:
        return ReleaseKey(change.key.namespace, change.key.name)


def test_of_other_shards_the_names_are_kept() -> None:
    """Our Releases and what they name are kept whole; of those of others, and of what these name, only the names."""
    place = Place()
    for name in (MINE, OTHER):
        place.store.upsert("Release", release(name))
        place.store.upsert("Deployment", deployment(name))

    assert place.store.get("Release", NAMESPACE, MINE) == release(MINE)
    assert place.store.get("Deployment", NAMESPACE, MINE) == deployment(MINE)
    assert place.references.count == 1
    assert [key.name for key in place.store.names("Release")] == sorted([MINE, OTHER])
    for kind in ("Release", "Deployment"):
        with pytest.raises(BareError):
            place.store.get(kind, NAMESPACE, OTHER)


def test_release_of_another_shard_that_one_of_ours_comes_after_is_kept_whole() -> None:
    """What proves a version for one of ours is read without a request, and a change of it brings ours back."""
    place = Place()
    place.store.upsert("Release", release(MINE, after=[{"release": OTHER}]))
    place.store.upsert("Release", release(OTHER))
    change = Change(Key("Release", NAMESPACE, OTHER), release(OTHER), release(OTHER, 2))

    assert place.store.get("Release", NAMESPACE, OTHER) == release(OTHER)
    assert place.references.dependents(change) == {ReleaseKey(NAMESPACE, MINE)}


def test_what_belongs_to_another_shard_brings_nothing_back() -> None:
    """A Deployment that bears the label of another shard's Release concerns none of ours, whatever it is called."""
    place = Place()
    place.store.upsert("Release", release(MINE))

    labelled = Change(Key("Deployment", NAMESPACE, OTHER), None, deployment(OTHER))
    named = Change(Key("Deployment", NAMESPACE, MINE), None, deployment(MINE))

    assert place.references.of(labelled) == set()
    assert place.references.of(named) == {ReleaseKey(NAMESPACE, MINE)}


def test_room_for_what_nobody_needs_is_shared_out() -> None:
    """Several operators keep no more between them of what nobody needs than one does."""
    whole, third = Spare.shared(1), Spare.shared(3)
    for spare in (whole, third):
        spare.hold("elsewhere", 32 * 1024 * 1024)

    assert (whole.takes(NAMESPACE, 1000), third.takes(NAMESPACE, 1000)) == (True, False)


def test_word_of_a_holder_is_about_its_own_releases() -> None:
    """A heir has seen everything where it has seen our Releases as they are, however far behind it is with those of others."""
    holder, heir = Store(ManualClock()), Store(ManualClock())
    for store in (holder, heir):
        store.upsert("Release", release(MINE))
        store.upsert("Release", release(OTHER))
    holder.upsert("Release", release(OTHER, 5))

    assert knows(heir, note(holder, RELATIONS, OURS), RELATIONS, OURS)

    holder.upsert("Release", release(MINE, 6))
    assert not knows(heir, note(holder, RELATIONS, OURS), RELATIONS, OURS)


@dataclass
class Operator:
    """As much of an operator as its metrics are shown by."""

    metrics: Metrics = field(default_factory=Metrics)

    def owns(self) -> int:
        return 7


def test_metrics_of_each_operator_have_the_number_of_its_shard() -> None:
    """Two operators in one process show each family once, with the shards as labels; what has gone is shown no more."""
    metrics, first, second = ShardMetrics(3), Operator(), Operator()
    first.metrics.leader.set(1)
    second.metrics.queue_depth.set(4)
    metrics.show(0, held=True, vacant=0.0, operator=first)  # type: ignore[arg-type]
    metrics.show(2, held=False, vacant=3.5, operator=second)  # type: ignore[arg-type]

    text = generate_latest(metrics.registry).decode()

    assert 'tidegate_leader{shard="0"} 1.0' in text
    assert 'tidegate_queue_depth{shard="2"} 4.0' in text
    assert text.count("# TYPE tidegate_leader gauge") == 1
    assert ['tidegate_shard_held{shard="0"} 1.0', 'tidegate_shard_held{shard="1"} 0.0', 'tidegate_shard_held{shard="2"} 0.0'] == [
        line for line in text.splitlines() if line.startswith("tidegate_shard_held")
    ]
    assert 'tidegate_shard_releases{shard="0"} 7.0' in text
    assert 'tidegate_shard_vacant_seconds{shard="2"} 3.5' in text

    metrics.show(0, held=False, vacant=0.0, operator=None)
    text = generate_latest(metrics.registry).decode()
    assert 'tidegate_leader{shard="0"}' not in text
    assert 'tidegate_shard_releases{shard="0"}' not in text


@dataclass
class Up:
    """A fence."""

    left: float
    grace: float = 5.0

    def remaining(self) -> float:
        return self.left


def test_write_stands_behind_both_leases() -> None:
    """Where the shard's Lease or the roster's has run out nothing is written."""
    assert [Both(Up(a), Up(b)).remaining() for a, b in ((3, 5), (0, 5), (3, 0))] == [3, 0, 0]
    assert Both(Up(1, 5), Up(1, 2)).grace == 2


def test_files_of_operators_in_one_process_are_apart() -> None:
    """A single operator's files are called as they always were."""
    assert (Terms().file_suffix, Terms(shard=Shard(2, 3)).file_suffix) == ("", "-shard-2")


def test_shards_need_an_election(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Leases there is nothing to share by: more than one shard is refused before anything starts, with the cure."""
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    (file := tmp_path / "config.yaml").write_text("shards: 3\nleaderElection: {enabled: false}\n")

    async def edge(**_: Any) -> None: ...

    async def load() -> Configuration:
        return Configuration()

    with pytest.raises(Terminal, match=r"set leaderElection\.enabled"):
        Shards(config.load(file), Connection(load, Configuration(), refresh=1e9), edge)


@pytest.mark.parametrize("count", ["0", "33", "many"])
def test_number_of_shards_is_bounded(tmp_path: Path, count: str) -> None:
    """A configuration with none, or with more than replicas could follow, is refused by the field's name."""
    (file := tmp_path / "config.yaml").write_text(f"shards: {count}\n")

    with pytest.raises(Terminal, match="shards"):
        config.load(file)
