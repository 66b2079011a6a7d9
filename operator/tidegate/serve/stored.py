"""What the API server has answered, read once: where it does not fit its kind, that is said of the answer, and never of the caller.

Everything behind this works on values that a type checker has seen, so any other error is a fault of the HTTP API's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tidegate.api.record import ReleaseRecordSpec
from tidegate.api.release import ReleaseSpec
from tidegate.api.status import ReleaseStatus

Json = dict[str, Any]
Key = tuple[str, str]
_M = TypeVar("_M", bound=BaseModel)


class UnreadableError(Exception):
    """What the API server has answered is no object of the kind that was asked for; the message says which and where, not what."""


@dataclass(frozen=True)
class Stored:
    """A Release as the API server has it.

    Attributes:
        key: its namespace and name.
        spec: its spec.
        status: its status.
        obj: of the object itself what a decision on it says: a list of thousands needs no memory for all of them.
    """

    key: Key
    spec: ReleaseSpec
    status: ReleaseStatus
    obj: Json

    @property
    def name(self) -> str:
        """Its name."""
        return self.key[1]


class _Part(BaseModel):
    """A part of an object of which only these fields are looked at."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Metadata(_Part):
    namespace: str
    name: str
    uid: str


class _Release(_Part):
    metadata: _Metadata
    spec: ReleaseSpec
    status: ReleaseStatus = Field(default_factory=ReleaseStatus)


class _Record(_Part):
    spec: ReleaseRecordSpec


class _Named(_Part):
    name: str


class _DecisionSpec(_Part):
    by: str | None = None


class _Decision(_Part):
    metadata: _Named
    spec: _DecisionSpec


class Container(_Part):
    """A container of a pod template."""

    name: str
    image: str | None = None


class _Pods(_Part):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = Field((), alias="initContainers")


class _Template(_Part):
    spec: _Pods


class _DeploymentSpec(_Part):
    template: _Template


class _Deployment(_Part):
    spec: _DeploymentSpec


def release_of(obj: Mapping[str, Any]) -> Stored:
    """Return a Release.

    Raises:
        UnreadableError: it is none.
    """
    found = _read(_Release, obj, "Release")
    kept: Json = {"metadata": {"uid": found.metadata.uid}, "status": {"candidate": (obj.get("status") or {}).get("candidate")}}
    return Stored((found.metadata.namespace, found.metadata.name), found.spec, found.status, kept)


def record_of(obj: Mapping[str, Any]) -> ReleaseRecordSpec:
    """Return what a record says.

    Raises:
        UnreadableError: it is none.
    """
    return _read(_Record, obj, "ReleaseRecord").spec


def decision_of(obj: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the name of a decision, and who has made it, as far as that is told.

    Raises:
        UnreadableError: it is none.
    """
    found = _read(_Decision, obj, "ReleaseDecision")
    return found.metadata.name, found.spec.by


def containers_of(obj: Mapping[str, Any]) -> dict[str, tuple[Container, ...]]:
    """Return the containers of a Deployment, by the name of the field that has them.

    Raises:
        UnreadableError: it is none.
    """
    pods = _read(_Deployment, obj, "Deployment").spec.template.spec
    return {"containers": pods.containers, "initContainers": pods.init_containers}


def _read(model: type[_M], obj: Mapping[str, Any], kind: str) -> _M:
    try:
        return model.model_validate(obj)
    except ValidationError as error:
        # Where, and not what stands there: an answer may have anything in it.
        where = ".".join(str(part) for part in error.errors(include_input=False, include_url=False)[0]["loc"][:6])
        raise UnreadableError(f"{kind}: {where or 'it is no object'}") from None
