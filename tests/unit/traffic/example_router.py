"""A router as a stranger would add it, by the recipe of CONTRIBUTING: for a kind whose shares are percentages and sum to 100."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tidegate.api.originals import OriginalRule
from tidegate.cluster.resources import Resource
from tidegate.engine.plan import Role, own_name
from tidegate.engine.route import RouteKind, RouteRef
from tidegate.engine.snapshot import RouteStage, RouteView, Warm
from tidegate.traffic.notes import note, read
from tidegate.traffic.our_marks import marked
from tidegate.traffic.router import Router

Json = dict[str, Any]
Shares = list[tuple[str, int]]
KIND = RouteKind("TrafficShare", "spec.traffic.example", "trafficShares", "spec.shares")


class ExampleRouter(Router):
    """TrafficShares: one list of Services with percentages, and nobody who says whether it is in force."""

    kind = KIND
    resource = Resource("example.com", "v1", "trafficshares", KIND.label)

    def led_to(self, route: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the Services that have a share."""
        return ((route["metadata"]["namespace"], name) for name, percent in _shares(route) if percent)

    def observe(
        self,
        route: Mapping[str, Any] | None,
        *,
        name: str,
        namespace: str,
        service: str,
        known: Sequence[OriginalRule] = (),
    ) -> RouteView:
        """Return what the engine sees; a Service that shares with others cannot be split in whole percent."""
        if route is None:
            return RouteView(KIND, name, exists=False, matches=False, accepted=False)
        shares = _shares(route)
        stable, canary, users = (_sum(shares, one) for one in (*_own(service), service))
        own = [one for one, _ in shares if one in _own(service)]
        if not own and not users:
            return RouteView(KIND, name, matches=False)
        stage = RouteStage.USER if not own else RouteStage.ENTERING if users else RouteStage.SPLIT
        proper = not own or (own == _own(service) and (users == 0) is (stable + canary > 0))
        original = _original(route, service, known)
        noted = note([{"name": one, "weight": percent} for one, percent in original])
        return RouteView(
            KIND,
            name,
            stage=stage,
            uniform=proper,
            weight=100 * canary / (users + stable + canary or 1),
            trouble="" if _sum(original, service) == 100 else f"{service} does not have all of it",
            originals=(OriginalRule(kind=KIND.label, route=name, rule=0, backend_refs=noted),),
            our_marks=stage is RouteStage.USER and marked(route),
            heard=True,
        )

    def render(
        self,
        route: Mapping[str, Any],
        *,
        stage: RouteStage,
        weight: int,
        originals: Sequence[OriginalRule],
        service: str,
        warm: Warm | None = None,
    ) -> list[Json] | None:
        """Return the JSON patch that brings a TrafficShare to a stage."""
        metadata = route["metadata"]
        view = self.observe(route, name=metadata["name"], namespace=metadata["namespace"], service=service)
        if not view.matches:
            return None
        if (wanted := _written(_original(route, service, originals), service, stage, weight)) == _shares(route):
            return None
        tests = [{"op": "test", "path": f"/metadata/{key}", "value": metadata[key]} for key in ("uid", "generation")]
        value = [{"service": one, "percent": percent} for one, percent in wanted]
        return [*tests, {"op": "replace", "path": "/spec/shares", "value": value}]


def _own(service: str) -> list[str]:
    return [own_name(service, role) for role in Role]


def _shares(route: Mapping[str, Any]) -> Shares:
    return [(one["service"], one["percent"]) for one in (route.get("spec") or {}).get("shares") or ()]


def _sum(shares: Shares, name: str) -> int:
    return sum(percent for one, percent in shares if one == name)


def _original(route: Mapping[str, Any], service: str, known: Sequence[OriginalRule]) -> Shares:
    """Return the shares as the user wrote them: what is there, what was noted, or else what the user's and ours have together."""
    shares, own = _shares(route), _own(service)
    if not any(one in own for one, _ in shares):
        return shares
    for rule in RouteRef(KIND, route["metadata"]["name"]).noted(known):
        if backends := read(rule.backend_refs):
            return [(one["name"], one["weight"]) for one in backends]
    ours = sum(_sum(shares, one) for one in (service, *own))
    return [(service, ours), *((one, percent) for one, percent in shares if one not in {service, *own})]


def _written(original: Shares, service: str, stage: RouteStage, weight: int) -> Shares:
    if stage is RouteStage.USER:
        return original
    share, (stable, canary) = _sum(original, service), _own(service)
    new = share * weight // 100 if stage is RouteStage.SPLIT else 0
    pair = [(stable, share - new if stage is RouteStage.SPLIT else 0), (canary, new)]
    user = [(service, 0 if stage is RouteStage.SPLIT else share)]
    at = next(at for at, (one, _) in enumerate(original) if one == service)
    return [*original[:at], *user, *pair, *original[at + 1 :]]
