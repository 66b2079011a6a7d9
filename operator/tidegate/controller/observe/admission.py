"""Watches over the admission policies that vouch for decisions and records; by requests of its own, as each is one object."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Forbidden, NotFound
from tidegate.cluster.resources import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS
from tidegate.governance.admission import POLICY, RECORDS_POLICY, Standing, standing
from tidegate.runtime.clock import Clock

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 5.0
"""Between looks while they fail."""
LOOK_SECONDS = 60.0
"""Between looks. Whoever is about to let a vote count has it looked at first."""
RARELY_SECONDS = 600.0
"""The same at most where it may not be read: people change that, and rarely."""
FRESH_SECONDS = 1.0
"""For so long an answer will do for other votes that are about to count."""
_FORBIDDEN = Standing(f"the operator may not get validatingadmissionpolicies {POLICY}: give it the ClusterRole of deploy/")
_UNKNOWN = Standing(f"the admission policy {POLICY} was not read yet")


class Shown(Protocol):
    """Shows whether an admission policy is in force as shipped."""

    def __call__(self, policy: str, /, *, in_force: bool) -> None:
        """Show it."""


def _nobody(_: str, *, in_force: bool) -> None:
    """Show nothing."""


class Admission:
    """Knows how far decisions can be believed, and whether others than the operator could write records.

    Args:
        cluster: the API.
        clock: the time.
        changed: told that the first has changed, for all Releases.
        shown: told of each policy whether it is in force as shipped, where that is known.
    """

    def __init__(self, cluster: Cluster, *, clock: Clock, changed: Callable[[], None], shown: Shown = _nobody) -> None:
        self._cluster, self._clock, self._changed, self._shown = cluster, clock, changed, shown
        self._looked, self._failures = float("-inf"), 0
        self._looking = asyncio.Lock()
        self.standing = _UNKNOWN
        self._of_records: Standing | None = None
        self._records_due = float("-inf")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            wait = min(RARELY_SECONDS, AGAIN_SECONDS * 2.0 ** min(self._failures - 1, 16)) if self._failures else LOOK_SECONDS
            await self._clock.sleep(wait)

    async def fresh(self) -> Standing:
        """Return how far decisions can be believed at this moment.

        Raises:
            ApiError: it is not known.
        """
        async with self._looking:
            if self._clock.monotonic() - self._looked >= FRESH_SECONDS:
                await self._look()
        return self.standing

    async def look(self) -> None:
        """Look; an API server that is away, or has too much to do, says nothing of the policies."""
        try:
            await self._look()
            await self._look_at_records()
        except ApiError as error:
            self._failures += 1
            log.warning("the admission policies could not be read", policy=POLICY, cause=str(error))

    async def _look_at_records(self) -> None:
        if self._clock.monotonic() < self._records_due:
            return
        try:
            now = await self._standing(RECORDS_POLICY)
        except Forbidden:
            # Whoever may not look says nothing, for no record is worth less for it, and need not ask each time.
            self._records_due = self._clock.monotonic() + RARELY_SECONDS
            return
        if now != self._of_records:
            self._of_records = now
            self._shown(RECORDS_POLICY, in_force=not now.trouble)
            if now.trouble:
                log.warning("others than the operator could write records", policy=RECORDS_POLICY, cause=now.trouble)
            else:
                log.info("the operator alone writes records", policy=RECORDS_POLICY)

    async def _standing(self, name: str) -> Standing:
        # Together: a vote that is about to count waits for both.
        policy, binding = await asyncio.gather(
            self._read(VALIDATING_ADMISSION_POLICIES.path(None, name)),
            self._read(VALIDATING_ADMISSION_POLICY_BINDINGS.path(None, name)),
        )
        return standing(policy, binding, name)

    async def _look(self) -> None:
        try:
            now = await self._standing(POLICY)
            self._failures = 0
        except Forbidden:
            self._failures += 1
            now = _FORBIDDEN
        self._looked = self._clock.monotonic()
        if now != self.standing:
            self.standing = now
            self._shown(POLICY, in_force=not now.trouble)
            # Where it may not look, nobody has wanted it to.
            say = log.warning if now.trouble and now is not _FORBIDDEN else log.info
            say(
                "decisions count" if not now.trouble else "no decision counts", policy=POLICY, cause=now.trouble or "it is in force"
            )
            self._changed()

    async def _read(self, path: str) -> Mapping[str, Any] | None:
        try:
            return await self._cluster.get(path)
        except NotFound:
            return None
