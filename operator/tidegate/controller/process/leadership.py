"""Whether and where this process takes part in a leader election.

That hangs on where it runs, in a pod or on a laptop, and on what its configuration says; the election itself knows neither.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import Connection
from tidegate.cluster.election import Election, Place
from tidegate.cluster.fence import Fence
from tidegate.cluster.sending import Observer
from tidegate.controller.process.config import LeaderElection
from tidegate.runtime.clock import BootClock
from tidegate.runtime.lease import Timing
from tidegate.runtime.sharding import WHOLE, Shard

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds its namespace, if its manifest does not say it."""


def instance() -> str:
    """Return the name of this replica, as people know it."""
    return os.environ.get("POD_NAME") or socket.gethostname()


def place_of(config: LeaderElection, *, service_account: Path = SERVICE_ACCOUNT) -> Place | None:
    """Return where the Lease is; None where there is no election, as outside of a cluster unless a namespace is configured.

    Args:
        config: what the configuration says.
        service_account: file with the namespace of the pod.
    """
    if not config.enabled:
        return None
    namespace = config.namespace or os.environ.get("POD_NAMESPACE")
    if not namespace and "KUBERNETES_SERVICE_HOST" in os.environ and service_account.is_file():
        namespace = service_account.read_text(encoding="utf-8").strip()
    return Place(namespace, config.lease_name) if namespace else None


@dataclass(frozen=True)
class Terms:
    """On which terms an operator works: on which Releases, and for as long as which Lease lets it.

    Attributes:
        shard: the Releases that are its own.
        election: its part in the election; None where there is none.
        fence: keeps its writes from being sent; None where nothing does.
        electorate: the client that the election goes through, to be closed with it; None where it is another one's.
        campaign: the election's task, where it runs already.
    """

    shard: Shard = WHOLE
    election: Election | None = None
    fence: Fence | None = None
    electorate: Cluster | None = None
    campaign: asyncio.Task[None] | None = None

    @property
    def file_suffix(self) -> str:
        """What tells files of this one from those of another in the same process; empty where there is no other."""
        return "" if self.shard.count == 1 else f"-shard-{self.shard.index}"


def terms_of(config: LeaderElection, connection: Connection, *, observe: Observer) -> Terms:
    """Return the terms of an operator that works on all Releases.

    Args:
        config: what the configuration says.
        connection: the API server.
        observe: told of every request.
    """
    place = place_of(config)
    if place is None:
        return Terms()
    cluster = electorate(connection, observe=observe)
    # A process that is started again in the same pod is another one: what the one before it sent may still be on its way.
    identity = f"{instance()}_{uuid.uuid4().hex[:8]}"
    election = Election(cluster, clock=BootClock(), place=place, identity=identity, timing=timing_of(config))
    return Terms(election=election, fence=election, electorate=cluster)


def timing_of(config: LeaderElection) -> Timing:
    """Return how long things take."""
    return Timing(
        duration=config.lease_duration.total_seconds(),
        renew_deadline=config.renew_deadline.total_seconds(),
        retry=config.retry_period.total_seconds(),
    )


def electorate(connection: Connection, *, observe: Observer) -> Cluster:
    """Return a client for Leases: a renewal must not wait for a connection behind a hundred writes."""
    return Cluster(connection, observe=observe)
