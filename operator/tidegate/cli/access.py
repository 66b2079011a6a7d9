"""The Kubernetes API for commands that ask a few questions and end.

They run with the rights of whoever types them, so each refusal ends the command with the sentence that says which right is missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from tidegate.api.release import PolicyKind, ReleaseSpec
from tidegate.api.status import ReleaseStatus
from tidegate.api.wrong import problems_of
from tidegate.cli.output import fail
from tidegate.cluster.errors import ApiError, Invalid, NotFound, error_of
from tidegate.cluster.resources import CLUSTER_ROLLOUT_POLICIES, RELEASES, REPLICA_SETS, ROLLOUT_POLICIES, path_of, resource_of
from tidegate.runtime.errors import Terminal

if TYPE_CHECKING:
    from tidegate.cluster.client import Cluster
    from tidegate.cluster.connection import Connection

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_ANSWER = TypeVar("_ANSWER")
_FIELD_MANAGER = "tidegate-lint"
_PARTS = re.compile(r"\[(\d++)\]|\[[^\[]*+|([^.\[\]]++)")
"""A number in brackets, anything else in brackets, a name."""

Kubeconfig = Annotated[
    str | None,
    typer.Option("--kubeconfig", help="Kubeconfig file. Default: $KUBECONFIG, the pod's ServiceAccount, ~/.kube/config."),
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig. Default: its current one.")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Releases of all namespaces.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace. Default: that of the context, or `default`.")]


@dataclass(frozen=True)
class Chosen:
    """Which Releases a command is about.

    Attributes:
        namespace: None for all namespaces.
        name: None for all Releases.
    """

    namespace: str | None
    name: str | None = None

    def has(self, release: Mapping[str, Any]) -> bool:
        """Whether a Release is one of them."""
        return self.name is None or release["metadata"]["name"] == self.name


def chosen(name: str | None, namespace: str | None, kubeconfig: str | None, context: str | None, *, everywhere: bool) -> Chosen:
    """Return which Releases are meant by a name, a namespace and `--all-namespaces`; the command ends where both are given."""
    if name is not None and everywhere:
        fail("give the name of a Release or --all-namespaces, not both")
    return Chosen(None if everywhere else namespace or namespace_of(kubeconfig, context), name)


def ask(kubeconfig: str | None, context: str | None, question: Callable[[Connection, Cluster], Awaitable[_ANSWER]]) -> _ANSWER:
    """Ask the API server, and end the command in words if it does not answer.

    Args:
        kubeconfig: path of a kubeconfig; None to look where kubectl and the operator look.
        context: context within it; None for its current one.
        question: what to ask; `ApiError` is told to the user.
    """
    # The client of Kubernetes takes half a second to import; help and commands that ask nobody need not wait for it.
    from tidegate.cluster.client import Cluster
    from tidegate.cluster.connection import connect

    async def run() -> _ANSWER:
        connection = await connect(kubeconfig, context)
        async with Cluster(connection) as cluster:
            return await question(connection, cluster)

    try:
        return asyncio.run(run())
    except (Terminal, ApiError) as error:
        fail(str(error))


def namespace_of(kubeconfig: str | None, context: str | None) -> str:
    """Return the namespace that a command works in without `--namespace`, as kubectl has it."""
    from kubernetes.aio.config import ConfigException, list_kube_config_contexts

    path = kubeconfig or os.environ.get("KUBECONFIG")
    if path is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        try:
            return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
        except OSError:
            return "default"
    try:
        contexts, current = list_kube_config_contexts(path)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, TypeError, AttributeError, ValueError):
        return "default"  # Whoever asks the API next says what is wrong with the file.
    chosen = next((one for one in contexts if one["name"] == context), None) if context else current
    return str(((chosen or {}).get("context") or {}).get("namespace") or "default")


def place_of(name: str, namespace: str | None, kubeconfig: str | None, context: str | None) -> tuple[str, str]:
    """Return namespace and name of a Release that is given as NAME or NAMESPACE/NAME."""
    before, slash, after = name.partition("/")
    return (before, after) if slash else (namespace or namespace_of(kubeconfig, context), name)


async def release(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    """Return a Release.

    Raises:
        ApiError: there is none, or the API does not answer.
    """
    return await cluster.get(RELEASES.path(namespace, name))


async def releases(cluster: Cluster, chosen: Chosen) -> list[dict[str, Any]]:
    """Return the Releases that are asked about.

    Raises:
        ApiError: the one that is named is not there, or the API does not answer.
    """
    if chosen.name is not None:
        return [await release(cluster, chosen.namespace or "default", chosen.name)]
    found: list[dict[str, Any]] = (await cluster.list(RELEASES.path(chosen.namespace))).items
    return found


async def group(cluster: Cluster, namespace: str, name: str) -> list[dict[str, Any]]:
    """Return the Releases of a group; the command ends where there are none.

    Raises:
        ApiError: they may not be listed, or the API does not answer.
    """
    found = [one for one in await releases(cluster, Chosen(namespace)) if group_of(one) == name]
    if not found:
        fail(f"--group: no Release in {namespace} is in group {name} (spec.group.name)")
    return found


def group_of(found: Mapping[str, Any]) -> str | None:
    """Return the name of the group that a Release is in; None where it is in none."""
    group = (found.get("spec") or {}).get("group")
    return group.get("name") if isinstance(group, Mapping) else None


async def policy(cluster: Cluster, namespace: str, spec: ReleaseSpec) -> dict[str, Any] | None:
    """Return the policy that a Release names; None where there is none."""
    cluster_wide = spec.policy_ref.kind is PolicyKind.CLUSTER
    resource = CLUSTER_ROLLOUT_POLICIES if cluster_wide else ROLLOUT_POLICIES
    try:
        return await cluster.get(resource.path(None if cluster_wide else namespace, spec.policy_ref.name))
    except NotFound:
        return None


async def replica_sets(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    """Return the ReplicaSets of a namespace."""
    return (await cluster.list(REPLICA_SETS.path(namespace))).items


async def refusals(connection: Connection, manifest: Mapping[str, Any], namespace: str) -> list[tuple[tuple[str | int, ...], str]]:
    """Let the API server check an object as if it were applied, without storing it.

    Args:
        connection: to the API server.
        manifest: the object.
        namespace: where it would be applied if it names no namespace.

    Returns:
        Each field that is refused, with the API server's words; none where it would be taken.

    Raises:
        ApiError: the API server does not answer, or this client may not ask it.
    """
    import aiohttp

    namespaced = resource_of(manifest).namespaced
    metadata = {**manifest["metadata"], **({"namespace": manifest["metadata"].get("namespace", namespace)} if namespaced else {})}
    body = {name: value for name, value in {**manifest, "metadata": metadata}.items() if name != "status"}
    path = path_of(body)
    parameters = {"fieldManager": _FIELD_MANAGER, "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
    headers = {"Content-Type": "application/apply-patch+yaml"}
    try:
        async with (
            connection.open_session() as session,
            session.patch(f"{connection.server}{path}", params=parameters, data=json.dumps(body), headers=headers) as response,
        ):
            answer = await response.json(content_type=None)
            code = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        status = {"code": 503, "message": str(error) or type(error).__name__}
        raise error_of(status, verb="patch", path=path) from error
    if code < 400:
        return []
    refused = error_of({**answer, "code": code}, verb="patch", path=path)
    if isinstance(refused, Invalid):
        return [(_place(cause.field), cause.message) for cause in refused.causes] or [((), refused.message)]
    if code == 400:
        return [((), refused.message)]
    raise refused


def _place(field: str) -> tuple[str | int, ...]:
    """Take a path as the API server writes it apart: `spec.gates[0].metric`."""
    parts = [found.groups() for found in _PARTS.finditer(field)]
    return tuple(int(number) if number else name for number, name in parts if number or name)


def status_of(found: Mapping[str, Any]) -> ReleaseStatus:
    """Read the status of a Release; the command ends where it cannot be read."""
    try:
        return ReleaseStatus.model_validate(found.get("status") or {})
    except ValidationError as error:
        fail(f"the status of the Release cannot be read: {_first(error)}")


def spec_of(found: Mapping[str, Any]) -> ReleaseSpec:
    """Read the spec of a Release; the command ends where it cannot be read."""
    try:
        return ReleaseSpec.model_validate(found.get("spec") or {})
    except ValidationError as error:
        fail(f"the spec of the Release cannot be read: {_first(error)}")


def _first(error: ValidationError) -> str:
    return next(problems_of(error))
