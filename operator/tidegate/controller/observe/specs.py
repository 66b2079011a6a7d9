"""What Releases, policies and freezes ask for, each generation read once.

People edit them while rollouts are on. A spec that is no longer valid does not stop what is on: that goes on as it was asked for
last, and what is wrong stands beside it, in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import structlog
from pydantic import ValidationError

from tidegate.api.freeze import ReleaseFreezeSpec
from tidegate.api.names import Reason
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import PolicyKind, PolicyRef, ReleaseSpec
from tidegate.controller.observe.parsing import in_words
from tidegate.engine.snapshot import Blocker, PolicyView
from tidegate.prometheus.asked import unaskable
from tidegate.runtime.errors import Terminal
from tidegate.runtime.store import Object, Store

log = structlog.get_logger(__name__)

Spec: TypeAlias = ReleaseSpec | RolloutPolicySpec | ReleaseFreezeSpec


@dataclass(frozen=True, slots=True)
class Read:
    """A spec as it was read, of one generation of an object.

    Attributes:
        generation: of the object.
        spec: the spec; the last one that was valid where this generation is not; None where none was.
        wrong: what is wrong with this generation, in words; empty where nothing is.
    """

    generation: int
    spec: Spec | None
    wrong: str = ""


class Specs:
    """Reads specs, and keeps the last valid one of each object until that is forgotten.

    Args:
        store: the caches.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, Read] = {}

    def of(self, release: Object) -> ReleaseSpec:
        """Return what a Release asks for: by its spec, or by the last one that was valid.

        Raises:
            Terminal: its spec is not valid, and none that was valid is known; the message names the field.
        """
        read = self._spec(release, ReleaseSpec)
        if read.spec is None:
            raise Terminal(read.wrong, reason=Reason.INVALID_SPEC)
        assert isinstance(read.spec, ReleaseSpec)
        return read.spec

    def invalid(self, release: Object) -> Blocker | None:
        """Return what is wrong with a Release's spec as it is now; None where nothing is."""
        wrong = self._spec(release, ReleaseSpec).wrong
        return Blocker(Reason.INVALID_SPEC, wrong) if wrong else None

    def policy(self, namespace: str, ref: PolicyRef) -> tuple[PolicyView | None, str]:
        """Return the policy that a Release names, and what is wrong with it, in words.

        Args:
            namespace: of the Release.
            ref: names the policy.

        Returns:
            None and no words where it is missing or on its way out; None and words where it is not valid as it is now.
        """
        policy = self._store.get(ref.kind, "" if ref.kind is PolicyKind.CLUSTER else namespace, ref.name)
        if policy is None or policy["metadata"].get("deletionTimestamp"):
            return None, ""
        read = self._spec(policy, RolloutPolicySpec)
        if read.wrong or not isinstance(read.spec, RolloutPolicySpec):
            return None, f"spec.policyRef: {ref.kind} {ref.name} is not valid: {read.wrong}"
        return PolicyView(f"{ref.kind}/{ref.name}", read.spec), ""

    def freeze(self, freeze: Object) -> tuple[ReleaseFreezeSpec | None, str]:
        """Return what a ReleaseFreeze says as it is now; None, and what is wrong with it in words, where it is not valid."""
        read = self._spec(freeze, ReleaseFreezeSpec)
        if read.wrong or not isinstance(read.spec, ReleaseFreezeSpec):
            return None, read.wrong
        return read.spec, ""

    def forget(self, uid: str) -> None:
        """Forget what was read of an object that is gone."""
        self._read.pop(uid, None)

    def _spec(self, obj: Object, model: type[Spec]) -> Read:
        uid, generation = obj["metadata"]["uid"], obj["metadata"].get("generation", 0)
        before = self._read.get(uid)
        if before is not None and before.generation == generation:
            return before
        try:
            spec = model.model_validate(obj.get("spec"))
            read = Read(generation, spec, unaskable(spec.gates) if isinstance(spec, RolloutPolicySpec) else "")
        except ValidationError as error:
            # What is on goes on as it was asked for last, watched by its gates: to let go of it now would be worse.
            read = Read(generation, before.spec if before else None, in_words(error))
        if read.wrong:
            log.warning("spec is not valid", kind=obj["kind"], name=obj["metadata"]["name"], cause=read.wrong)
        self._read[uid] = read
        return read
