"""Programs that ask for feature flags, by flagd's own evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext

USERS = [f"user-{number}" for number in range(5000)]
NEAR = 0.025
"""By so much the share of 5,000 users may differ from its percentage: more than three standard deviations, whichever it is."""
Users = frozenset[str]


def is_near(users: Users, percent: int) -> bool:
    """Whether as many of all users are these as a percentage says."""
    return abs(len(users) / len(USERS) - percent / 100) < NEAR


class Clients:
    """Programs that ask for flags, as a ConfigMap's text defines them."""

    def __init__(self, text: str) -> None:
        self._core = FlagdCore()
        self._core.set_flags(text)

    def gets(self, user: str | None = None, flag: str = "new-checkout", **attributes: str) -> bool:
        """Return what a user gets; None is one without a targeting key."""
        found = self._core.resolve_boolean_value(flag, False, EvaluationContext(user, attributes))
        assert found.error_code is None
        assert found.variant in {"on", "off"}
        return found.value

    def having(self, flag: str = "new-checkout", users: Sequence[str] = USERS, **attributes: str) -> Users:
        """Return the users who have a flag."""
        return frozenset(user for user in users if self.gets(user, flag, **attributes))
