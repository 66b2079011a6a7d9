"""What governance has to say of a Release, made of the objects of the caches: the part of a snapshot that barriers read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tidegate.api.base import SENTENCE, parse_time, plain
from tidegate.api.freeze import ReleaseFreezeSpec
from tidegate.api.release import ReleaseSpec
from tidegate.cluster.resources import NAMESPACES, RELEASE_DECISIONS, RELEASE_FREEZES
from tidegate.controller.observe.decisions import NOTHING, Decided, Decisions
from tidegate.controller.observe.specs import Specs
from tidegate.controller.observe.upstreams import Upstreams
from tidegate.governance.flags import FlagView
from tidegate.governance.freezes import FreezeView
from tidegate.governance.runs import RunView
from tidegate.governance.view import UNGOVERNED, GovernanceView
from tidegate.runtime.store import Object, Store
from tidegate.workloads.objects import labels_of, matches

NO_RUNS: Mapping[str, RunView] = {}
NO_FLAGS: Mapping[str, FlagView] = {}


class Governance:
    """Makes views of it.

    Args:
        store: the caches.
        unread: says of a kind why it is not known which objects of it there are; empty where it is.
        upstreams: reads other Releases; by default from the same caches.
        specs: reads freezes; by default by itself.
        decisions: finds what was decided; None where nothing can be.
        by_decision: people promote, resume and retry by decision alone.
        records_kept: how many records of each Release are kept.
    """

    def __init__(
        self,
        store: Store,
        unread: Callable[[str], str],
        upstreams: Upstreams | None = None,
        *,
        specs: Specs | None = None,
        decisions: Decisions | None = None,
        by_decision: bool = False,
        records_kept: int = UNGOVERNED.records_kept,
    ) -> None:
        self._store, self._unread, self._upstreams = store, unread, upstreams or Upstreams(store)
        self._specs, self._decisions = specs or Specs(store), decisions
        self._ungoverned = replace(UNGOVERNED, by_decision=by_decision, records_kept=records_kept)

    def decided(self, release: Object) -> Decided:
        """Return what was decided on one Release."""
        metadata = release["metadata"]
        return self._decisions.of(metadata["namespace"], metadata["name"]) if self._decisions is not None else NOTHING

    def view(
        self,
        release: Object,
        spec: ReleaseSpec,
        entitled: Mapping[str, bool] | None = None,
        runs: Mapping[str, RunView] = NO_RUNS,
        flags: Mapping[str, FlagView] = NO_FLAGS,
    ) -> GovernanceView:
        """Return what there is for one Release.

        Args:
            release: the Release as stored.
            spec: what it asks for.
            entitled: whether those who have decided may still do so, as far as that was asked.
            runs: what was seen of the Jobs of checks, by their names.
            flags: what was seen of definitions of flags, by the flags' ids.
        """
        unread, freezes = self._unread(RELEASE_FREEZES.kind), tuple(self._matching(release, spec))
        undecided = self._unread(RELEASE_DECISIONS.kind) or (self._decisions.unread if self._decisions is not None else "")
        decisions = self.decided(release).views
        upstreams = self._upstreams.views(release["metadata"]["namespace"], spec.after)
        if not (unread or freezes or undecided or decisions or upstreams or runs or flags):
            return self._ungoverned
        return replace(
            self._ungoverned,
            freezes=freezes,
            freezes_unread=unread,
            upstreams=upstreams,
            decisions=decisions,
            decisions_unread=undecided,
            entitled=entitled,
            runs=runs,
            flags=flags,
        )

    def _matching(self, release: Object, spec: ReleaseSpec) -> Iterator[FreezeView]:
        for obj in self._store.objects(RELEASE_FREEZES.kind):
            metadata = obj["metadata"]
            name, created = str(metadata["name"]), parse_time(metadata["creationTimestamp"])
            freeze, wrong = self._specs.freeze(obj)
            if freeze is None:
                # It was meant to stop something, and nobody can tell what.
                yield FreezeView(name, f"it could not be read ({wrong}), so it counts everywhere", created)
            elif (doubt := self._selected(freeze, obj["spec"], release, spec)) is not None:
                yield FreezeView(name, plain(freeze.reason, SENTENCE) + doubt, freeze.begins or created, freeze.until)

    def _selected(self, freeze: ReleaseFreezeSpec, written: Object, release: Object, spec: ReleaseSpec) -> str | None:
        """Return the doubt with which a freeze matches, as a rule an empty one; None where it does not match.

        Args:
            freeze: what it says.
            written: the same as it is stored, for the selectors.
            release: the Release as stored.
            spec: what that asks for.
        """
        if freeze.environments and spec.environment not in freeze.environments:
            return None
        if freeze.release_selector and not matches(written["releaseSelector"], labels_of(release)):
            return None
        if freeze.namespace_selector is None:
            return ""
        namespace = self._store.kept(NAMESPACES.kind, "", release["metadata"]["namespace"])
        if namespace is None or self._unread(NAMESPACES.kind):
            return "; the labels of this namespace are not known, so it counts here"
        return "" if matches(written["namespaceSelector"], labels_of(namespace)) else None
