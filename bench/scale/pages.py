"""Pages of metrics of pods that are none: every address of theirs is one of this machine, and one server answers at all of them.

What a page says depends on whose address was asked and when: from the instant on in which a service turns bad, half of its requests
to the new version fail. Unlike with the stand-in for Prometheus nothing shows at once: the reader has to come by and count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.direct_pages import page
from bench.scale.telemetry import CANARY_RATE, ERRORS, ERRORS_WHEN_BAD, STABLE_RATE, Service

from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import PODS
from tidegate_sandbox.node_agent.addresses import LoopbackInterface

PORT = 9464
_SERIES = 2000
"""Of other metrics on each page."""
_HASH = "pod-template-hash"


@dataclass(frozen=True)
class PagePod:
    """What one pod counts: whose it is, since when, and which share of its version's requests it gets."""

    service: Service
    stable: bool
    since: float
    share: float


@dataclass
class Pages:
    """Pods by their addresses.

    Attributes:
        bad_since: when services have turned bad.
        read: pages that were read.
        pods: what there is.
    """

    bad_since: dict[Service, float] = field(default_factory=dict)
    read: int = 0
    pods: dict[str, PagePod] = field(default_factory=dict)
    _lo: LoopbackInterface = field(default_factory=LoopbackInterface)
    _known: set[str] = field(default_factory=set)

    async def look(self, cluster: Cluster, services: Iterable[Service], stable: dict[Service, str]) -> None:
        """Find the pods that there are now, and have their addresses lead here."""
        now, wanted = time.time(), set(services)
        found: dict[tuple[Service, str], list[str]] = {}
        for pod in (await cluster.list(PODS.path())).items:
            labels, address = pod["metadata"].get("labels") or {}, (pod.get("status") or {}).get("podIP")
            service = (pod["metadata"]["namespace"], labels.get("app", ""))
            if address and service in wanted and not pod["metadata"].get("deletionTimestamp"):
                found.setdefault((service, labels[_HASH]), []).append(address)
        pods = {}
        for (service, revision), addresses in found.items():
            for address in addresses:
                before = self.pods.get(address)
                since = before.since if before is not None and before.service == service else now
                pods[address] = PagePod(service, revision == stable.get(service), since, 1 / len(addresses))
        self.pods = pods
        for address in pods.keys() - self._known:
            self._lo.add(address)
            self._known.add(address)

    def turn_bad(self, service: Service) -> float:
        """Have half of a service's requests to the new version fail from now on, and return the instant."""
        at = self.bad_since[service] = time.time()
        return at

    def text(self, address: str) -> bytes:
        """Return the page of a pod."""
        pod, now = self.pods.get(address), time.time()
        if pod is None:
            return _OTHERS
        rate = (STABLE_RATE if pod.stable else CANARY_RATE) * pod.share
        total, bad = (now - pod.since) * rate, (now - pod.since) * rate * ERRORS
        since = None if pod.stable else self.bad_since.get(pod.service)
        if since is not None:
            bad += max(0.0, now - since) * rate * ERRORS_WHEN_BAD
        counts = f'http_requests_total{{code="200"}} {int(total - bad)}\nhttp_requests_total{{code="500"}} {int(bad)}\n'
        return _OTHERS + counts.encode()


def _others() -> bytes:
    """Return what pages have besides."""
    lines = page(_SERIES).splitlines(keepends=True)
    return b"".join(line for line in lines if b"http_requests_total" not in line and not line.startswith(b"process_start"))


_OTHERS = _others()


@asynccontextmanager
async def served() -> AsyncIterator[Pages]:
    """Answer at all addresses, on one port."""
    pages = Pages()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                text = pages.text(address)
                pages.read += 1
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text)}\r\n\r\n"
                writer.write(head.encode() + text)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", PORT)
    try:
        yield pages
    finally:
        server.close()
