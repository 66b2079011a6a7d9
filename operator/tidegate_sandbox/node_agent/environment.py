"""A container's environment and command line, as the kubelet composes them.

Services are told apart by their variables, so what `env`, `envFrom` and `$(NAME)` mean must be what it is in a cluster.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate_sandbox.node_agent import images

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")
_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARKED_OPTIONAL = "optional"


class ConfigError(Exception):
    """The container cannot be configured; the message is what the kubelet shows for CreateContainerConfigError."""


@dataclass(frozen=True)
class Placement:
    """Where a pod runs: its own address, its node's name and address."""

    pod_ip: str
    node_name: str
    host_ip: str


@dataclass(frozen=True)
class ConfigData:
    """The ConfigMaps and Secrets that a pod refers to, by name, as text; a missing object has no entry."""

    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ConfigReferences:
    """Names of the ConfigMaps and Secrets that a container's environment refers to."""

    config_maps: frozenset[str]
    secrets: frozenset[str]


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` is a dollar sign, an unknown name stays as it is written."""

    def value_of(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return variables.get(match.group(2), match.group(0))

    return _REFERENCE.sub(value_of, text)


def command_line(container: Mapping[str, Any], program: images.Program, variables: Mapping[str, str]) -> list[str]:
    """Return the argument vector: ``command`` replaces the image's program and arguments, ``args`` its arguments."""
    command: Sequence[str] = container.get("command") or ()
    args: Sequence[str] = container.get("args") or ()
    parts = [*command, *args] if command else [*program.command, *(args or program.args)]
    return [expand(part, variables) for part in parts]


def references(container: Mapping[str, Any]) -> ConfigReferences:
    """Return the names of every ConfigMap and Secret in ``env`` and ``envFrom``."""
    config_maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.get("envFrom") or ():
        config_maps.update(_names(source.get("configMapRef")))
        secrets.update(_names(source.get("secretRef")))
    for variable in container.get("env") or ():
        value_from = variable.get("valueFrom") or {}
        config_maps.update(_names(value_from.get("configMapKeyRef")))
        secrets.update(_names(value_from.get("secretKeyRef")))
    return ConfigReferences(frozenset(config_maps), frozenset(secrets))


def secret_text(secret: Mapping[str, Any]) -> dict[str, str]:
    """Decode the ``data`` of a Secret object; bytes that are no UTF-8 become replacement characters."""
    try:
        return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in (secret.get("data") or {}).items()}
    except (binascii.Error, ValueError) as error:
        raise ConfigError(f"secret {secret.get('metadata', {}).get('name')!r} holds malformed data") from error


def field_value(path: str, pod: Mapping[str, Any], placement: Placement) -> str:
    """Return what a ``fieldRef`` stands for. Raises ConfigError for a path that pods do not offer."""
    metadata = pod.get("metadata", {})
    spec = pod.get("spec", {})
    plain = {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": placement.node_name,
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": placement.host_ip,
        "status.hostIPs": placement.host_ip,
        "status.podIP": placement.pod_ip,
        "status.podIPs": placement.pod_ip,
    }
    if path in plain:
        return str(plain[path])
    match = _SUBSCRIPT.match(path)
    if match is None:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return str((metadata.get(match.group(1)) or {}).get(match.group(2), ""))


def compose(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    program: images.Program,
    placement: Placement,
    data: ConfigData,
) -> dict[str, str]:
    """Return the environment of a container, without anything of this machine's own environment.

    Later entries win: the pod's facts, the image's environment, ``envFrom``, ``env``. Raises ConfigError with the
    kubelet's message where a ConfigMap, Secret or key is missing and not optional.
    """
    name = str(pod.get("metadata", {}).get("name", ""))
    image = str(container.get("image", ""))
    variables = {
        "PATH": _PATH,
        "HOSTNAME": name,
        "POD_IP": placement.pod_ip,
        "TIDEGATE_POD_IP": placement.pod_ip,
        "TIDEGATE_POD_NAME": name,
        "TIDEGATE_IMAGE_TAG": images.image_tag(image),
        **program.env,
    }
    for source in container.get("envFrom") or ():
        variables.update(_env_from(source, data))
    for variable in container.get("env") or ():
        value = _env_value(variable, variables, pod, placement, data)
        if value is not None:
            variables[variable["name"]] = value
    return variables


def _env_value(
    variable: Mapping[str, Any],
    so_far: Mapping[str, str],
    pod: Mapping[str, Any],
    placement: Placement,
    data: ConfigData,
) -> str | None:
    value_from = variable.get("valueFrom")
    if not value_from:
        return expand(variable.get("value") or "", so_far)
    if "fieldRef" in value_from:
        return field_value(value_from["fieldRef"].get("fieldPath", ""), pod, placement)
    if "configMapKeyRef" in value_from:
        return _keyed("configmap", "ConfigMap", value_from["configMapKeyRef"], data.config_maps, pod)
    if "secretKeyRef" in value_from:
        return _keyed("secret", "Secret", value_from["secretKeyRef"], data.secrets, pod)
    raise ConfigError(f"environment variable {variable.get('name')!r}: unsupported source {sorted(value_from)}")


def _keyed(
    kind: str,
    title: str,
    reference: Mapping[str, Any],
    objects: Mapping[str, Mapping[str, str]],
    pod: Mapping[str, Any],
) -> str | None:
    name, key = reference.get("name", ""), reference.get("key", "")
    values = objects.get(name)
    if values is not None and key in values:
        return values[key]
    if reference.get(_MARKED_OPTIONAL):
        return None
    if values is None:
        raise ConfigError(f'{kind} "{name}" not found')
    namespace = pod.get("metadata", {}).get("namespace", "")
    raise ConfigError(f"couldn't find key {key} in {title} {namespace}/{name}")


def _env_from(source: Mapping[str, Any], data: ConfigData) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for kind, field_name, objects in (
        ("configmap", "configMapRef", data.config_maps),
        ("secret", "secretRef", data.secrets),
    ):
        reference = source.get(field_name)
        if not reference:
            continue
        values = objects.get(reference.get("name", ""))
        if values is not None:
            return {prefix + key: value for key, value in values.items()}
        if not reference.get(_MARKED_OPTIONAL):
            raise ConfigError(f'{kind} "{reference.get("name", "")}" not found')
    return {}


def _names(reference: Mapping[str, Any] | None) -> list[str]:
    return [reference["name"]] if reference and reference.get("name") else []
