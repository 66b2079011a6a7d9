"""The operator's own configuration: one YAML file, checked as a whole before anything starts."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from tidegate.api.base import Duration
from tidegate.api.wrong import not_yaml, problems_of
from tidegate.cluster.config import ClusterConfig
from tidegate.controller.observe.hook_config import HookConfig
from tidegate.notifications.config import NotificationsConfig
from tidegate.prometheus.config import BRANCHES, Budgets, ConnectionConfig
from tidegate.prometheus.push.config import PushConfig
from tidegate.runtime.errors import Terminal

log = structlog.get_logger(__name__)

LONGEST_LEASE = timedelta(minutes=1)
"""The API server gives up on any request by then."""
LEAST_MARGIN = timedelta(seconds=1)
"""Between the last write of a leader and the first of the next: for clocks of different speed, and for what is on its way."""
MOST_SHARDS = 32
"""Each replica watches the Lease of each shard, and each shard has caches of its own."""
LEAST_RETRY = timedelta(milliseconds=100)


class Requests(StrEnum):
    """By what people may direct rollouts."""

    ANY = "Any"
    DECISIONS = "Decisions"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


Controller = Annotated[str, Field(pattern=r"^[^/ ]+/[^ ]+$", max_length=253)]
DELAYS = {"traefik.io/gateway-controller": timedelta(seconds=2.5)}
"""Of controllers that say so before their data planes have a route: Traefik takes changes in every 2 s (providersThrottleDuration),
and its word comes at once."""


class LeaderElection(BaseModel):
    """How one of several operators is chosen that works, while the others stand by.

    Attributes:
        enabled: whether one is chosen at all. Without it there must never be two.
        namespace: where the Lease is; by default where the operator's pod is. Outside of a cluster nobody is chosen without it.
        lease_name: name of the Lease.
        lease_duration: how long a lease is left to a leader that does not renew it; whole seconds.
        renew_deadline: how long a leader goes on that cannot renew its lease.
        retry_period: between renewals, and between attempts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    enabled: bool = True
    namespace: Name | None = None
    lease_name: Name = "tidegate"
    lease_duration: Duration = timedelta(seconds=15)
    renew_deadline: Duration = timedelta(seconds=10)
    retry_period: Duration = timedelta(seconds=2)

    @model_validator(mode="after")
    def _one_after_another(self) -> Self:
        lease, renew, retry = self.lease_duration, self.renew_deadline, self.retry_period
        if not timedelta(seconds=2) <= lease <= LONGEST_LEASE or lease % timedelta(seconds=1):
            raise ValueError("leaseDuration must be whole seconds, from 2s to 1m")
        if renew > lease - LEAST_MARGIN:
            raise ValueError("renewDeadline must be a second shorter than leaseDuration, or more")
        if not LEAST_RETRY <= retry <= renew / 2:
            raise ValueError("retryPeriod must be at least 100ms and at most half of renewDeadline")
        return self


class Config(BaseModel):
    """What an operator's configuration file may say; all of it may be left out.

    Attributes:
        connections: Prometheus servers by name; gates use `default` unless they say otherwise.
        budgets: how much of counters is remembered and read.
        clusters: other clusters by name, whose Releases may prove versions for those of this one.
        notifications: who is told of what happens to Releases.
        hooks: what checks may call, by name, at most 64.
        watch_namespaces: namespaces to serve; empty for all.
        cluster_policies: whether ClusterRolloutPolicies, ReleaseFreezes and the labels of namespaces are read, which takes
            rights for the whole cluster.
        requests: whether people may promote, resume and retry by the annotation tidegate.dev/request, too, or by decisions alone.
        http_host: address that /healthz, /readyz and /metrics are served on.
        http_port: port of /metrics, which answers /healthz and /readyz, too; 0 takes a free one.
        probe_port: port of /healthz and /readyz alone; 0 takes a free one.
        workers: how many Releases are worked on at once.
        warm_up: how long a backend stands in a route at weight 0 before it gets weight; longer for slow data planes.
        data_plane_delays: how long data planes may be behind the word of their controllers, by the controllers' names.
        warm_weights: whether data planes leave out backends of weight 0, by their controllers' names: each backend then gets one
            request in ten thousand before it gets weight.
        step_replicas_limit: pods that a step may ask for although its Deployment has fewer; a step always gets as many as that has.
        records_kept: how many ReleaseRecords of each Release are kept, 1 to 1000; the oldest beyond are deleted.
        status_heartbeat: how often the numbers of gates are written into a status in which nothing else has changed.
        log_level: how much is logged.
        leader_election: how one of several operators is chosen that works.
        push: the port on which samples are pushed; None for none.
        shards: into how many parts Releases are shared out, each of which one of the replicas works on; 1 for all on one.
        state_directory: where it is written down what is under way, for the process after this one; None for the folder for
            temporary files in a pod, and for nowhere outside.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    connections: tuple[ConnectionConfig, ...] = ()
    budgets: Budgets = Budgets()
    clusters: Annotated[dict[Name, ClusterConfig], Field(max_length=16)] = {}
    notifications: NotificationsConfig = NotificationsConfig()
    hooks: Annotated[dict[Name, HookConfig], Field(max_length=64)] = {}
    watch_namespaces: tuple[Name, ...] = ()
    cluster_policies: bool = True
    requests: Requests = Requests.ANY
    http_host: str = "0.0.0.0"  # noqa: S104 - probes and scrapes come from outside the pod
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    probe_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    workers: Annotated[int, Field(ge=1, le=64)] = 8
    warm_up: Duration = timedelta(seconds=1.5)
    data_plane_delays: dict[Controller, Duration] = {}
    warm_weights: dict[Controller, bool] = {}
    step_replicas_limit: Annotated[int, Field(ge=0, le=10_000)] = 0
    records_kept: Annotated[int, Field(ge=1, le=1000)] = 50
    status_heartbeat: Duration = timedelta(seconds=60)
    log_level: LogLevel = LogLevel.INFO
    leader_election: LeaderElection = LeaderElection()
    push: PushConfig | None = None
    shards: Annotated[int, Field(ge=1, le=MOST_SHARDS)] = 1
    state_directory: Path | None = None

    @property
    def delays(self) -> dict[str, float]:
        """Return by how many seconds data planes may be behind, with what is known of controllers that are not named."""
        return {name: delay.total_seconds() for name, delay in (DELAYS | self.data_plane_delays).items()}


def load(path: Path | None) -> Config:
    """Read the configuration.

    Args:
        path: the YAML file; None for the defaults.

    Raises:
        Terminal: the file cannot be read or is not as it should be. The message names file, field and cause of all that is wrong,
            and no values, for among them may be what should not be in a log.
    """
    if path is None:
        return Config()
    document = _parsed(path)
    if document is not None and not isinstance(document, dict):
        raise Terminal(f"{path}: must be a map")
    try:
        config = Config.model_validate(document or {}, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Terminal(f"{path}: {'; '.join(problems_of(error, leave_out=BRANCHES))}") from None
    names = [connection.name for connection in config.connections]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise Terminal(f"{path}: connections: more than one is named {', '.join(doubled)}")
    pushed = [connection.name for connection in config.connections if connection.push is not None]
    if pushed and config.push is None:
        raise Terminal(f"{path}: connections: {', '.join(pushed)} has push, but no port is open: give push, with senders")
    if config.push is not None and config.shards > 1:
        raise Terminal(f"{path}: push: samples reach one replica, and with shards each needs them: set shards to 1")
    return config


def warn(config: Config) -> None:
    """Log what of a configuration works and had better be otherwise."""
    for one in config.connections:
        if one.in_clear:
            log.warning(
                "a Prometheus connection is plain http: anyone between can read it and forge answers to its gates; use https",
                connection=one.name,
                address=one.address,
            )
    for channel in config.notifications.channels:
        if channel.in_clear:
            log.warning(
                "a channel is not encrypted: anyone between can read and change what it tells; use https, or TLS for mail",
                channel=channel.name,
            )


def _parsed(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Terminal(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from error
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except RecursionError:
        problem = "is nested too deeply"
    except (yaml.YAMLError, ValueError, LookupError) as error:
        # What YAML calls a time or a number may be none, such as the 99th of a month.
        problem = not_yaml(error)
    # Not chained: the parser's own error quotes the text.
    raise Terminal(f"{path}: {problem}") from None
