"""The account of two Releases that move together: an orderly way up and back is told, and then again with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from e2e.manifests import NAME
from faults.grouping import CAUSES, MATE, check
from faults.place import Place
from faults.test_oracle import GATEWAY, Tale

WEIGHTS = (25, 50, 100)


class Pair(Tale):
    """A namespace with both of them."""

    def serves(self, name: str) -> None:
        """A version of one has pods behind the operator's two Services."""
        for role in ("stable", "canary"):
            labels = {"app": name, "pod-template-hash": f"{name}-{role}"}
            self.tell("Service", f"{name}-{role}", spec={"selector": labels})
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            self.tell("Pod", f"{name}-{role}", metadata={"labels": labels}, status=ready)

    def weight(self, name: str, share: int) -> None:
        """The route of one gives its new version a share."""
        backends = [{"name": f"{name}-stable", "weight": 100 - share}, {"name": f"{name}-canary", "weight": share}]
        self.tell("HTTPRoute", name, spec={"parentRefs": GATEWAY, "rules": [{"backendRefs": backends}]})

    def says(self, name: str, **status: Any) -> None:
        """The status of one says something."""
        self.tell("Release", name, spec={}, status=status)

    def undone(self, name: str, cause: str = "") -> None:
        """One is taken back."""
        candidate = {"revision": f"{name}-canary"}
        self.says(name, rollout={"undo": cause or CAUSES[name]}, candidate=candidate, rejected=[candidate])

    def pods(self, name: str, replicas: int) -> None:  # type: ignore[override]
        """The new version of one is to have so many pods."""
        labels = {"app": name, "pod-template-hash": f"{name}-canary"}
        self.tell("ReplicaSet", f"{name}-canary", metadata={"labels": labels}, spec={"replicas": replicas})

    def found(self) -> set[str]:
        """Return the names of the invariants that do not hold."""
        place = Place(None, None, "shop", self.recorder, None, self.prometheus)  # type: ignore[arg-type]
        return {*check(place, since=0, weights=WEIGHTS, within=5.0)}


def at_half() -> Pair:
    """Both have half of the traffic."""
    pair = Pair()
    for name in (NAME, MATE):
        pair.serves(name)
        pair.pods(name, 3)
    for share in (0, 25, 50):
        for name in (NAME, MATE):
            pair.weight(name, share)
    return pair


def back() -> Pair:
    """And both are taken back."""
    pair = at_half()
    for name in (NAME, MATE):
        pair.undone(name)
        pair.weight(name, 0)
        pair.pods(name, 0)
    return pair


def test_orderly_way_is_fine() -> None:
    assert set() == back().found()


def a_step_ahead(pair: Pair) -> None:
    pair.weight(MATE, 25)
    pair.weight(NAME, 100)


def rises_again(pair: Pair) -> None:
    pair.undone(MATE)
    pair.weight(MATE, 0)
    pair.weight(MATE, 25)


def for_a_reason_of_its_own(pair: Pair) -> None:
    pair.undone(MATE, "GateBreached")


def forgotten(pair: Pair) -> None:
    pair.undone(MATE)
    pair.says(MATE)


def pods_again(pair: Pair) -> None:
    pair.undone(MATE)
    pair.pods(MATE, 0)
    pair.pods(MATE, 3)


def keeps_its_traffic(pair: Pair) -> None:
    pair.undone(NAME)


def nobody_ready(pair: Pair) -> None:
    pair.gone("Pod", f"{MATE}-canary")
    pair.weight(MATE, 51)


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (a_step_ahead, "together"),
        (rises_again, "together"),
        (for_a_reason_of_its_own, "undone-for-a-reason"),
        (forgotten, "rejected-stays-out"),
        (pods_again, "rejected-stays-out"),
        (keeps_its_traffic, "shut-in-time"),
        (nobody_ready, "ready-pods"),
    ],
)
def test_what_must_not_be_is_seen(wrong: Callable[[Pair], None], seen: str) -> None:
    """Each by its name."""
    pair = at_half()
    wrong(pair)

    assert seen in pair.found()
