"""Gates that have pods read directly, and pages of pods, for the tests of direct readings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tidegate.api.gate import Gate
from tidegate.prometheus.direct.page import Page
from tidegate.prometheus.direct.protobuf import ProtobufPage
from tidegate.prometheus.direct.targets import Scheme, Target
from tidegate.prometheus.direct.text import Series, TextPage
from tidegate.prometheus.direct.wanted import Wanted, wanted_at_gateway, wanted_of
from tidegate.prometheus.promql import Names

NAMES = Names("shop", "checkout", "checkout", "checkout-stable", "checkout-canary", "checkout-a-.....", "checkout-b-.....", 80)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def gate(source: str = "HTTP", measure: str = "ErrorRate", **more: Any) -> Gate:
    """Return a gate that compares with stable and has pods read directly."""
    limit = {"versusStable": {"maxIncrease": {"percent": 50}}}
    metric = {"preset": {"source": source, "measure": measure}}
    return Gate.model_validate({"name": f"{source}-{measure}".lower(), "metric": metric, "direct": {}} | limit | more)


def wanted(source: str = "HTTP", measure: str = "ErrorRate") -> Wanted:
    """Return what a gate wants of a page."""
    found = wanted_of(gate(source, measure))
    assert found is not None
    return found


def text(page: str | bytes, *wishes: Wanted, most: int = 2000, pieces: int = 0, ended: bool = False) -> Page:
    """Read a page of text, whole or in pieces of so many bytes."""
    read = TextPage(Series(wishes), most, ended=ended)
    feed(read, page.encode() if isinstance(page, str) else page, pieces)
    return read.end()


def protobuf(page: bytes, *wishes: Wanted, most: int = 2000, pieces: int = 0) -> Page:
    """Read a page of protobuf, whole or in pieces of so many bytes."""
    read = ProtobufPage(wishes, most)
    feed(read, page, pieces)
    return read.end()


def feed(read: TextPage | ProtobufPage, page: bytes, pieces: int) -> None:
    """Hand a page over in pieces."""
    for piece in parts(page, pieces):
        read.feed(piece)


def parts(page: bytes, size: int) -> Iterable[bytes]:
    """Return a page in pieces of so many bytes; whole where that is 0."""
    return [page] if size <= 0 else [page[at : at + size] for at in range(0, len(page), size)]


def at_gateway(source: str = "Envoy", measure: str = "ErrorRate", names: Names = NAMES) -> tuple[Wanted, Wanted]:
    """Return what a gate wants of a gateway's page, for the new version and for stable."""
    found = wanted_at_gateway(gate(source, measure), names)
    assert found is not None
    return found


def target(name: str, born: datetime | None = None) -> Target:
    """Return a pod that is read."""
    return Target(f"uid-{name}", name, "10.0.0.1", 8080, "/metrics", Scheme.HTTP, born=born)


def page(total: float | None, bad: float = 0, birth: float | None = None) -> Page:
    """Return the page of a pod that has answered so many requests, so many of them with errors; None before the first."""
    lines = [] if total is None else [f'http_requests_total{{code="200"}} {total - bad}']
    lines += [f'http_requests_total{{code="500"}} {bad}'] if bad else []
    lines += [f"process_start_time_seconds {birth}"] if birth else []
    return text("\n".join([*lines, ""]), wanted())
