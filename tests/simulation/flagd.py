"""Definitions of flags as an object has them, who else writes to them, and what the operator that is alive has seen of them."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from tidegate.governance.flags import FlagView, Outcome, Setting, Wish, outcome, view_of

FLAGS = {"configMap": {"name": "shop-flags"}, "items": [{"name": "feature", "flag": "new-checkout"}, {"name": "payments"}]}
FEATURE = "ConfigMap/shop-flags/flags.json/new-checkout"
PAYMENTS = "ConfigMap/shop-flags/flags.json/payments"


def boolean(default: str = "off", **more: Any) -> dict[str, Any]:
    """Return a definition."""
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default} | more


@dataclass
class Definitions:
    """All of them.

    Attributes:
        spec: what the Release says of flags; None for nothing.
        there: the definitions, by flag; None where the object is missing.
        seen: what the operator that is alive has seen, by id.
        refused: why nothing can be written; empty where it can.
        given: every setting that a definition has had, in order, by flag.
        written: how often anything was written.
    """

    spec: dict[str, Any] | None = None
    there: dict[str, Any] | None = field(default_factory=dict)
    seen: dict[str, FlagView] = field(default_factory=dict)
    refused: str = ""
    given: dict[str, list[str]] = field(default_factory=dict)
    written: int = 0

    def settle(self, wishes: Iterable[Wish]) -> None:
        """Have definitions say what is wanted, as the operator does beside its passes."""
        self.seen = {wish.target.id: self._view(wish) for wish in wishes}

    def says(self, flag: str) -> tuple[Setting | None, str]:
        """Return what a definition gives, and what is forced."""
        view = view_of(deepcopy((self.there or {})[flag]), "on", "off")
        return view.setting, view.forced

    def _view(self, wish: Wish) -> FlagView:
        flag = wish.target.flag
        if self.there is None or flag not in self.there:
            return FlagView(trouble="was not found")
        came = outcome(self.there[flag], wish) if wish.writes else Outcome(None)
        new = came.definition
        if new is not None and self.refused:
            return replace(view_of(self.there[flag], wish.on, wish.off), trouble=self.refused, told=wish.told)
        if new is not None:
            self.there[flag], self.written = new, self.written + 1
            setting, forced = self.says(flag)
            self.given.setdefault(flag, []).append(
                f"{setting.words if setting is not None else '?'}{f', forced {forced}' if forced else ''}"
            )
        view = view_of(self.there[flag], wish.on, wish.off)
        return replace(view, unfit=view.unfit or came.unset, trouble=view.trouble or came.unforced, told=wish.told)
