"""Plays one case, and says what has become of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from e2e.manifests import NAME, Json
from e2e.story import Given, managed
from field import hands
from field.case import Case, End, Outcome, filled, merged
from field.checks import CHECKS
from field.corner import Corner, Ground, corner
from field.hands import HANDS
from field.manifests import shop
from field.pod_hands import EXCUSED
from tidegate.api.base import parse_time

READY_WITHIN = 90.0
"""Seconds until the shop must serve, before anything is changed."""
WARM = 4.0
"""Seconds of load before the change."""
_TOLD_FAILURES = 60
"""Requests that failed of which an account tells."""


@dataclass(frozen=True)
class Result:
    """What has become of a case.

    Attributes:
        case: its name.
        kind: of fault.
        wanted: what was right, in words.
        story: what the team has and does.
        outcome: what has become of the version; empty where the case was not even played.
        said: what the Release said in the end.
        requests: how many were sent after the change.
        failed: how many of them were not answered as the version meant it, not counting those of `own`.
        own: how many failed for the change itself before the route was split, or for what befell the pods.
        wrong: what is wrong, in words; empty where all is right.
        seconds: how long it took.
        account: all that explains it, where something is wrong.
    """

    case: str
    kind: str
    wanted: str
    story: str
    outcome: str = ""
    said: str = ""
    requests: int = 0
    failed: int = 0
    own: int = 0
    wrong: str = ""
    seconds: float = 0.0
    account: str = ""

    @property
    def right(self) -> bool:
        return not self.wrong

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"right": self.right, "seconds": round(self.seconds, 1)}


async def play(ground: Ground, case: Case) -> Result:
    """Play a case in a corner of its own; what goes wrong is in the result, and is no exception."""
    began = time.monotonic()
    wanted = " or ".join(map(str, case.right))
    try:
        async with corner(ground, case) as place:
            found = await _Play(case, place).run()
    except (AssertionError, TimeoutError) as error:
        first, _, rest = str(error).partition("\n")
        found = {"wrong": first or repr(error), "account": rest}
    return Result(case.name, case.kind, wanted, case.story, seconds=time.monotonic() - began, **found)


class _Play:
    def __init__(self, case: Case, place: Corner) -> None:
        self._case, self._place, self._world = case, place, place.world
        self._shop = shop()
        self._changed = 0.0

    async def run(self) -> dict[str, Any]:
        """Bring the shop up, change it, and wait for what comes of that."""
        await self._open()
        async with _beside(self._case, self._place):
            await self._change()
            end = await self._end()
        wrong = [] if end else [f"{self._outcome()}; wanted was {' or '.join(map(str, self._case.right))}"]
        wrong += [words for name in self._case.checks if (words := await CHECKS[name](self._world))]
        wrong += self._wrong_services()
        counted = self._counted()
        if counted["failed"]:
            wrong.append(f"{counted['failed']} of {counted['requests']} requests failed")
        if self._world.operator.trouble:
            wrong.append(self._world.operator.trouble)
        said = end[1] if end else self._world.message
        account = f"{self._failures()}\n{self._world.account()}" if wrong else ""
        return {"outcome": str(self._outcome()), "said": said, "wrong": "; ".join(wrong), "account": account, **counted}

    async def _open(self) -> None:
        case, world = self._case, self._world
        self._shop = {kind: merged(manifest, case.before.get(kind, {})) for kind, manifest in self._shop.items()}
        await self._apply([*case.more, *(self._shop[kind] for kind in self._shop if kind != "Release")])
        await world.until("v1 serves", lambda: world.ready("v1") >= 2, within=READY_WITHIN)
        if case.load:
            await Given(world).load(rate=case.load)
        await world.operator.ready()
        await self._apply([self._shop["Release"]])
        # Where the Release refuses what it sees, it will never be Ready; that is an answer as well.
        taken = lambda: (world.condition("Ready").get("status") == "True" and managed(world)) or self._refuses()  # noqa: E731
        await world.until("the Release is Ready or says why not", taken, within=READY_WITHIN)
        # What stable did until now is what gates compare with; Prometheus must have seen some of it.
        await world.history.until(lambda: False, within=WARM)

    async def _change(self) -> None:
        self._changed = time.time()
        await self._apply([merged(self._shop[kind], patch) for kind, patch in self._case.then.items()])
        if self._case.kubectl:
            status, said = await self._world.kubectl(*self._case.kubectl)
            assert status == 0, said

    async def _apply(self, manifests: list[Json]) -> None:
        if not manifests:
            return
        text = yaml.safe_dump_all(filled(manifests, self._place.words))
        status, said = await self._world.kubectl(
            "apply", "--server-side", "--force-conflicts", "--field-manager=shop-team", "-f", "-", stdin=text
        )
        assert status == 0, said

    async def _end(self) -> tuple[End, str] | None:
        """Wait until the case has ended in a right way and stays so; None where it ended in another, or did not."""
        found: list[tuple[End, str]] = []

        def ended() -> bool:
            found[:] = self._ends()
            return bool(found) or self._world.operator.trouble != "" or self._is_over()

        await self._world.history.until(ended, within=self._case.seconds)
        if not found:
            # What ends is told a moment later in all its words.
            await self._world.history.until(lambda: bool(self._ends()), within=3)
            found[:] = self._ends()
        if found and found[0][0].outcome is Outcome.PROMOTED:
            await self._world.history.until(lambda: not hands.split(self._world), within=30)
        await self._world.history.until(lambda: False, within=self._case.stays)
        return next(iter(self._ends()), None)

    def _ends(self) -> list[tuple[End, str]]:
        outcome = self._outcome()
        return [
            (end, text)
            for end in self._case.right
            if end.outcome is outcome
            for text in self._told()
            if all(word.lower() in text.lower() for word in end.words)
        ]

    def _is_over(self) -> bool:
        """Whether the rollout has ended, so that nothing will change any more."""
        return not self._case.lasting and self._outcome() in {Outcome.PROMOTED, Outcome.ROLLED_BACK, Outcome.UNDONE}

    def _outcome(self) -> Outcome:
        status = self._world.status
        last = status.get("lastRollout") or {}
        if last.get("version") == "v2" and not status.get("candidate"):
            if last["outcome"] == "Promoted":
                return Outcome.PROMOTED
            return Outcome.UNDONE if last["cause"] == "ProgressDeadlineExceeded" else Outcome.ROLLED_BACK
        return Outcome.REFUSED if self._refuses() else Outcome.UNDER_WAY

    def _refuses(self) -> bool:
        """Whether the Release says that it cannot go on, and no request was led elsewhere for its sake."""
        touched = any(
            hands.split_in(seen.object) for seen in self._world.history.versions("HTTPRoute", NAME) if seen.at > self._changed
        )
        told = self._world.condition("Stalled").get("status") == "True"
        return told and not touched

    def _told(self) -> Iterator[str]:
        """Yield all texts that a person reads now: the status, its gates, how the last rollout went, and Events."""
        status = self._world.status
        last = status.get("lastRollout") or {}
        yield self._world.message
        yield last.get("message", "")
        for gate in (*status.get("gates", ()), *last.get("gates", ())):
            yield gate.get("message", "")
        for event in self._world.history.events():
            yield event["message"]

    def _wrong_services(self) -> list[str]:
        found = []
        for seen in self._world.history.versions("Service"):
            if seen.name in {f"{NAME}-stable", f"{NAME}-canary"} and seen.type != "DELETED":
                spec = {key: seen.object["spec"].get(key) for key in self._case.services}
                if spec != self._case.services:
                    found.append(f"Service {seen.name} has {spec}")
        return found[:1]

    def _failures(self) -> str:
        """Tell which requests failed and when, beside the versions of the route that the account has."""
        failed = self._world.load.answers().between(self._changed, time.time()).failures() if self._world.load else []
        lines = [f"{one.at:.2f} {one.status} {one.version} {one.pod} {one.error or one.excerpt}" for one in failed]
        return "\n".join([f"--- Requests that failed since the change at {self._changed:.2f}", *lines[:_TOLD_FAILURES]])

    def _excused(self) -> Iterator[tuple[float, float]]:
        """Yield from when to when requests may fail for what happened to Service and pods, whoever rolls them out."""
        case, history = self._case, self._world.history
        if case.own_gap:
            splits = [seen.at for seen in history.versions("HTTPRoute", NAME) if hands.split_in(seen.object)]
            yield self._changed, min(self._changed + case.own_gap, splits[0] + 1 if splits else time.time())
        for at in self._losses() if case.crash_gap else ():
            # Times of pods have no fractions of a second.
            yield at - 0.5, at + 1 + case.crash_gap
        file = self._place.folder / EXCUSED
        for line in file.read_text().splitlines() if file.exists() else ():
            began, ended = line.split()
            yield float(began), float(ended)

    def _losses(self) -> Iterator[float]:
        """Yield when containers have ended and pods have ceased to be ready."""
        for seen in self._world.history.versions("Pod"):
            status = seen.object.get("status") or {}
            for container in status.get("containerStatuses") or ():
                ended = container["state"].get("terminated") or container.get("lastState", {}).get("terminated")
                if ended is not None:
                    yield parse_time(ended["finishedAt"]).timestamp()
            for condition in status.get("conditions") or ():
                if condition["type"] == "Ready" and condition["status"] == "False":
                    yield parse_time(condition["lastTransitionTime"]).timestamp()

    def _counted(self) -> dict[str, int]:
        world, case = self._world, self._case
        if world.load is None:
            return {"requests": 0, "failed": 0, "own": 0}
        answers = world.load.answers().between(self._changed, time.time())
        failed = [one for one in answers.failures() if one.version not in case.ill]
        stretches = list(self._excused())
        own = [one for one in failed if any(began <= one.at <= ended for began, ended in stretches)]
        return {"requests": len(answers), "failed": len(failed) - len(own), "own": len(own)}


@contextlib.asynccontextmanager
async def _beside(case: Case, place: Corner) -> Any:
    tasks = [asyncio.create_task(HANDS[name](place.world, place.folder)) for name in case.hands]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
