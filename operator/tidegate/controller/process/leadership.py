"""Whether and where this process takes part in a leader election.

That hangs on where it runs, in a pod or on a laptop, and on what its configuration says; the election itself knows neither.
"""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path

from tidegate.cluster.client import Cluster
from tidegate.cluster.connection import Connection
from tidegate.cluster.election import Election, Place
from tidegate.cluster.sending import Observer
from tidegate.controller.process.config import LeaderElection
from tidegate.runtime.clock import BootClock
from tidegate.runtime.lease import Timing

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


def election_of(config: LeaderElection, connection: Connection, *, observe: Observer) -> tuple[Election, Cluster] | None:
    """Return this process's part in the election and the client that it goes through, which the caller closes; None without one.

    Args:
        config: what the configuration says.
        connection: the API server.
        observe: told of every request.
    """
    place = place_of(config)
    if place is None:
        return None
    timing = Timing(
        duration=config.lease_duration.total_seconds(),
        renew_deadline=config.renew_deadline.total_seconds(),
        retry=config.retry_period.total_seconds(),
    )
    # Not the client of everything else: a renewal must not wait for a connection behind a hundred writes.
    cluster = Cluster(connection, observe=observe)
    # A process that is started again in the same pod is another one: what the one before it sent may still be on its way.
    identity = f"{instance()}_{uuid.uuid4().hex[:8]}"
    return Election(cluster, clock=BootClock(), place=place, identity=identity, timing=timing), cluster
