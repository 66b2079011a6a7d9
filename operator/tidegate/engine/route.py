"""Which route: what people call its kind, and its name. Of a kind the engine knows nothing else.

Several kinds may be shifted for one Release, as when its people change the router while a rollout is on; so a name alone is no
identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tidegate.api.originals import OriginalRule


@dataclass(frozen=True)
class RouteKind:
    """A kind of route, in the words that messages have for it.

    Attributes:
        label: the kind as in manifests, which is what people call it.
        field: of a Release, in which its routes are named: `spec.traffic` and the router's own.
        names: the list of them there, each with its `name`.
        written: the field of a route that a shift writes.
    """

    label: str
    field: str
    names: str
    written: str


@dataclass(frozen=True)
class RouteRef:
    """One route of the Release's namespace.

    Attributes:
        kind: its kind.
        name: object name.
    """

    kind: RouteKind
    name: str

    @property
    def ref(self) -> RouteRef:
        """The route alone, without what was seen of it."""
        return RouteRef(self.kind, self.name)

    @property
    def label(self) -> str:
        """Kind and name, as people say them."""
        return f"{self.kind.label} {self.name}"

    def noted(self, rules: Iterable[OriginalRule]) -> tuple[OriginalRule, ...]:
        """Return what a status notes of this route."""
        return tuple(rule for rule in rules if (rule.of_kind, rule.route) == (self.kind.label, self.name))


def labels(routes: Iterable[RouteRef]) -> str:
    """Return routes by kind and name, in words; each kind is said once."""
    kinds: dict[str, list[str]] = {}
    for route in routes:
        kinds.setdefault(route.kind.label, []).append(route.name)
    return " and ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items())
