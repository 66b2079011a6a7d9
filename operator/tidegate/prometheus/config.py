"""The operator's connections to Prometheus, as its configuration file gives them: secrets by reference to files only."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic.alias_generators import to_camel

from tidegate.api.base import Duration
from tidegate.api.direct import Direct, Scheme
from tidegate.api.gate import Name
from tidegate.api.metric import Source

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++")
_HARMLESS_HEADERS = ("Accept", "THANOS-TENANT", "User-Agent", "X-Scope-OrgID")
"""What these say is no credential by the servers that read them. Any other may be one, whatever it is called."""
_LABEL_NAME = re.compile(r"(?:[a-z0-9][-a-z0-9.]{0,252}+/)?+[A-Za-z0-9][-A-Za-z0-9_.]{0,62}+")
_LABEL_VALUE = re.compile(r"[-A-Za-z0-9_.]{0,63}+")
"""About what the API server takes for labels, and nothing that could change what a selector means."""
GATEWAY_PAGES = {Source.ENVOY: "/stats/prometheus", Source.NGINX: "/metrics", Source.TRAEFIK: "/metrics"}
"""Presets whose requests gateways count, and where these have their pages by default
(https://www.envoyproxy.io/docs/envoy/latest/operations/admin#get--stats-prometheus,
https://kubernetes.github.io/ingress-nginx/user-guide/monitoring/,
https://doc.traefik.io/traefik/observability/metrics/prometheus/)."""
_SHORTEST_TIMEOUT = timedelta(milliseconds=100)
_LONGEST_TIMEOUT = timedelta(minutes=1)


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        msg = "must be the absolute path of a file"
        raise ValueError(msg)
    return path


def _printable(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        msg = "must be printable ASCII characters on one line"
        raise ValueError(msg)
    return text


def _web_address(address: str) -> str:
    """Accept `http(s)://host[:port][/path]`; the messages leave the address out, for it may hold a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or any(character.isspace() for character in address):
        msg = "must look like http://host:9090 or https://host/path"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "must not contain user or password: give basicAuth with passwordFile"
        raise ValueError(msg)
    if parts.query or parts.fragment:
        msg = "must not contain a query (?) or fragment (#)"
        raise ValueError(msg)
    return address.rstrip("/")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        # https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        return host == "localhost" or host.endswith(".localhost")


def _some(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if names is not None and not names:
        msg = "must name a namespace; leave it out for all of them"
        raise ValueError(msg)
    return names


WebAddress = Annotated[str, AfterValidator(_web_address)]
FilePath = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
Text = Annotated[str, Field(min_length=1), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


class FromFile(_Part):
    """A value that stands in a mounted file and is read again for every request."""

    from_file: FilePath


BRANCHES = ("<text>", "<file>")
"""What pydantic calls the two forms of a header's value; nobody writes these names."""
HeaderValue = Annotated[
    Annotated[Text, Tag(BRANCHES[0])] | Annotated[FromFile, Tag(BRANCHES[1])],
    Discriminator(lambda value: BRANCHES[isinstance(value, dict | FromFile)]),
]


_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def _bytes(size: object) -> object:
    """Accept a number of bytes, or one with a unit as Kubernetes writes it."""
    if not isinstance(size, str):
        return size
    number, unit = size[:-2], _UNITS.get(size[-2:])
    if unit is None or not (number.isascii() and number.isdigit() and len(number) < 10):
        msg = "must be a number of bytes, such as 4194304, or with a unit, such as 4Mi"
        raise ValueError(msg)
    return int(number) * unit


def _as_text(port: object) -> object:
    """Accept the number of a port as a number, too."""
    return str(port) if isinstance(port, int) and not isinstance(port, bool) else port


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=64 * 1024)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]


class Budgets(_Part):
    """How much of counters is remembered at most, and read at the same time. Beyond it a gate is Undecided and says so.

    Attributes:
        series_per_gate: series that a gate follows, of both versions; a histogram of one process is one.
        series_per_release: likewise all gates of a Release.
        series: likewise all Releases; half of it for those of one namespace.
        bytes_per_gate: memory for what a gate remembers of them.
        bytes_per_release: likewise all gates of a Release.
        bytes: likewise all Releases; half of it for those of one namespace.
        answer_bytes: answers of Prometheus that are read and parsed at the same time, over all connections, as they come.
    """

    series_per_gate: Count = 1000
    series_per_release: Count = 4000
    series: Count = 100_000
    bytes_per_gate: Bytes = 4 * 2**20
    bytes_per_release: Bytes = 8 * 2**20
    bytes: Bytes = 128 * 2**20
    answer_bytes: Annotated[Bytes, Field(ge=2**20)] = 4 * 2**20


class BasicAuth(_Part):
    """User name and password; the password, and the name if wanted, from mounted files."""

    username: Text | None = None
    username_file: FilePath | None = None
    password_file: FilePath

    @model_validator(mode="after")
    def _one_username(self) -> BasicAuth:
        if (self.username is None) == (self.username_file is None):
            msg = "give exactly one of username and usernameFile"
            raise ValueError(msg)
        return self


class TLS(_Part):
    """How the server is verified, and the client certificate."""

    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    server_name: Text | None = None
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _whole_pair(self) -> TLS:
        if (self.cert_file is None) != (self.key_file is None):
            msg = "give both certFile and keyFile, or neither"
            raise ValueError(msg)
        return self


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name) or not _LABEL_VALUE.fullmatch(value):
            msg = "must be labels of pods, such as {app: envoy}"
            raise ValueError(msg)
    return labels


class GatewayConfig(_Part):
    """A gateway whose pods are read for gates of a connection whose preset is counted by it.

    It is everybody's, in a namespace of its own: so which pods these are stands here, and nothing of it in a policy.

    Attributes:
        name: what statuses call it.
        source: the preset whose metrics are on its pods' pages.
        namespace: of its pods.
        selector: labels that all its pods have, and no others of the namespace.
        port: name of the container port of the page, or its number.
        path: path of the page, with its query if it has one; by default that of the source.
        scheme: HTTP or HTTPS.
        host_network: whether pods are read that have their node's address.
        pods: how many of its pods are read at most.
    """

    name: Name
    source: Annotated[Source, Field(strict=False)]
    namespace: Name
    selector: Annotated[dict[str, str], Field(min_length=1, max_length=8), AfterValidator(_labels)]
    port: Annotated[str, Field(max_length=15, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"), BeforeValidator(_as_text)]
    path: Annotated[str, Field(max_length=256, pattern=r"^/[!-~]*$")] | None = None
    scheme: Annotated[Scheme, Field(strict=False)] = Scheme.HTTP
    host_network: bool = False
    pods: Annotated[int, Field(ge=1, le=100)] = 20

    @model_validator(mode="after")
    def _of_gateways(self) -> GatewayConfig:
        if self.source not in GATEWAY_PAGES:
            msg = f"source: {self.source} is not counted by gateways: give one of {', '.join(GATEWAY_PAGES)}"
            raise ValueError(msg)
        return self

    @property
    def direct(self) -> Direct:
        """How its pods are read."""
        return Direct(port=self.port, path=self.path or GATEWAY_PAGES[self.source], scheme=self.scheme)

    @property
    def labels(self) -> str:
        """Its pods, as a label selector of the API."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.selector.items()))


def _apart(gateways: tuple[GatewayConfig, ...]) -> tuple[GatewayConfig, ...]:
    if len({one.name for one in gateways}) < len(gateways):
        msg = "must have different names"
        raise ValueError(msg)
    return gateways


class DirectConfig(_Part):
    """That gates of a connection may have pods read directly, and how much of them.

    Attributes:
        canary_pods: pods of the new version that are read for one Release, at most.
        stable_pods: likewise of stable: a sample, since the versions are compared by their shares.
        bytes_per_pod: longest page.
        series_per_pod: series of the wanted metrics on one page.
        timeout: longest time for one page, 50ms to 5s; it is never longer than the interval.
        concurrency: pages that are read at once.
        host_network: whether pods that have their node's address are read, too.
        filter_names: whether pods are asked for the wanted metrics alone (`name[]`), where they can.
        bearer_token_file: file with the token for `Authorization: Bearer`, sent over https alone; whoever runs a pod gets it.
        tls: how pods are verified over https.
        gateways: gateways whose pods are read for presets that these count; the token does not go there.
    """

    canary_pods: Annotated[int, Field(ge=1, le=500)] = 50
    stable_pods: Annotated[int, Field(ge=1, le=500)] = 5
    bytes_per_pod: Bytes = 8 * 2**20
    series_per_pod: Annotated[int, Field(ge=1, le=100_000)] = 2000
    timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=50), le=timedelta(seconds=5))] = timedelta(milliseconds=900)
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 128
    host_network: bool = False
    filter_names: bool = True
    bearer_token_file: FilePath | None = None
    tls: TLS = TLS()
    gateways: Annotated[tuple[GatewayConfig, ...], Field(strict=False, max_length=8), AfterValidator(_apart)] = ()

    def at(self, source: Source) -> tuple[GatewayConfig, ...]:
        """Return the gateways that have the metrics of a source."""
        return tuple(one for one in self.gateways if one.source is source)


class PushedConfig(_Part):
    """That gates of a connection may be judged by samples that are pushed, and by how many of them.

    Attributes:
        canary_pods: pods of the new version that are judged for one Release, at most.
        stable_pods: likewise of stable: a sample, since the versions are compared by their shares.
        series_per_pod: series of the wanted metrics of one pod, each bucket being one.
    """

    canary_pods: Annotated[int, Field(ge=1, le=500)] = 50
    stable_pods: Annotated[int, Field(ge=1, le=500)] = 5
    series_per_pod: Annotated[int, Field(ge=1, le=100_000)] = 2000


class QueriesOf(StrEnum):
    """Whose queries a connection takes; those of presets and error budgets, which Tidegate writes, it always takes."""

    PRESETS = "presets"
    CLUSTER_POLICIES = "clusterPolicies"
    ANY = "any"


class ConnectionConfig(_Part):
    """One connection to a Prometheus-compatible server.

    Attributes:
        name: what gates call it; `default` is used by gates that name none.
        address: URL of the server, with its path prefix if it has one, without `/api/v1`.
        headers: headers of every request, each `{fromFile: path}`, or a plain value for the few that hold no credential.
        bearer_token_file: file with the token for `Authorization: Bearer`.
        basic_auth: credentials for `Authorization: Basic`.
        tls: verification of an https server; by default against the public authorities.
        timeout: longest time for one query, 100ms to 1m.
        concurrency: most queries under way at once, 1 to 64.
        namespaces: whose Releases may use it; None for those of all. To go by labels would take the right to list namespaces.
        queries: whose queries it takes, see `QueriesOf`.
        direct: whether gates may have pods read directly beside it; None for not at all.
        push: whether gates may be judged by samples that are pushed; None for not at all.
    """

    name: Name
    address: WebAddress
    headers: Annotated[dict[str, HeaderValue], Field(repr=False)] = {}
    bearer_token_file: FilePath | None = None
    basic_auth: BasicAuth | None = None
    tls: TLS = TLS()
    timeout: Annotated[Duration, Field(ge=_SHORTEST_TIMEOUT, le=_LONGEST_TIMEOUT)] = timedelta(seconds=5)
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    namespaces: Annotated[tuple[Name, ...] | None, Field(strict=False), AfterValidator(_some)] = None
    queries: Annotated[QueriesOf, Field(strict=False)] = QueriesOf.ANY
    direct: DirectConfig | None = None
    push: PushedConfig | None = None

    @model_validator(mode="after")
    def _token_for_some(self) -> ConnectionConfig:
        if self.direct is not None and self.direct.bearer_token_file is not None and self.namespaces is None:
            msg = "direct.bearerTokenFile is sent to pods: restrict the connection to the namespaces of these pods (namespaces)"
            raise ValueError(msg)
        return self

    @property
    def in_clear(self) -> bool:
        """Whether what is asked and answered can be read and changed on its way: plain http to another host."""
        parts = urlsplit(self.address)
        return parts.scheme == "http" and not _loopback(parts.hostname or "")

    @model_validator(mode="after")
    def _sound_headers(self) -> ConnectionConfig:
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                msg = f"headers: {name!r} is not the name of a header"
                raise ValueError(msg)
            if not isinstance(value, FromFile) and name.lower() not in map(str.lower, _HARMLESS_HEADERS):
                plain = ", ".join(_HARMLESS_HEADERS)
                msg = f"headers: {name} may be a credential: give it as {{fromFile: path}} (in clear text only {plain})"
                raise ValueError(msg)
        authorizations = [self.bearer_token_file, self.basic_auth, *(n for n in self.headers if n.lower() == "authorization")]
        if sum(each is not None for each in authorizations) > 1:
            msg = "give at most one of bearerTokenFile, basicAuth and a header Authorization"
            raise ValueError(msg)
        return self
