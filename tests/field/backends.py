"""Where metrics are kept, as teams have it: each back end with its real program, and shops that are judged by what it says.

PYTHONPATH=tests python -m field.backends            # a quarter of an hour, at the pace of real scrapes
PYTHONPATH=tests python -m field.backends --sample   # a minute, all five times as fast

All shops of all back ends are played side by side: what takes time is waiting for scrapes. The operator's own reader asks and its
own engine decides; the route and the pods are as they should be.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
from aiohttp import web

from e2e.program import Program
from field import otlp
from field.servers import prometheus, sidecar, thanos_query, victoria_metrics
from field.shops import CANARY, Pages, Shop, Tale
from tidegate.api.gate import Gate
from tidegate.api.policy import RolloutPolicySpec
from tidegate.backtest.replay import Outcome, Past, ReplayError, Result, replay
from tidegate.judge.reading import Reading
from tidegate.prometheus.connections import Connection, ConnectionConfig
from tidegate.prometheus.promql import Names
from tidegate.prometheus.reader import Reader

CONNECTION = "default"
FEW_WITHIN, ALL_WITHIN = 60.0, 30.0
"""Seconds within which a version must be shut once its bad counts are there, at scrapes every 15 s."""
LEAST, MOST = 0.95, 1.0
"""Of the requests that the pages had told of by then, what must have been counted."""
_LABEL, _REPLICA = "written_by", "prometheus_replica"
_READING = 0.1
"""Seconds that it may take from when a sample is said to be taken until the page is read."""
_READING_LATE = 1.0
"""The same on a machine that has other work: of a version that is shut after two seconds, one page is a large part of all."""
_GOES_ON = 180
"""Seconds that stable must have run for, so that what is kept twice is known before anything counts."""
_KEPT = "[1m]"
"""How far back the newest samples are looked for."""


@dataclass(frozen=True)
class Pace:
    """How fast it all goes.

    Attributes:
        scrape: seconds between two scrapes.
        look: seconds between two looks of the gate.
        hold: seconds of each step.
        rate: requests a second of each pod.
        slack: seconds that are given besides for a busy machine.
    """

    scrape: float
    look: float
    hold: float
    rate: float = 40.0
    slack: float = 5.0

    def within(self, tale: Tale) -> float:
        """Return within how many seconds a version must be shut once its bad counts are there."""
        rarer = max(1.0, self.scrape / 15)
        return (FEW_WITHIN if tale is Tale.FEW else ALL_WITHIN) * rarer + self.look + self.slack


REAL, RARE = Pace(15, 5, 60), Pace(60, 30, 120)
SAMPLE = Pace(2, 1, 8, rate=110, slack=60)


@dataclass(frozen=True)
class BackEnd:
    """What Tidegate asks.

    Attributes:
        name: for people.
        address: of what is asked.
        readers: who scrapes for it.
        pace: of those.
        doubled: it keeps what two have read apart by a label that nobody knows, and Tidegate must say so.
        metric: of the gate.
        labels: of the namespace and the pod, as this back end writes them.
        events: the name of what is counted, likewise.
    """

    name: str
    address: str
    readers: tuple[str, ...]
    pace: Pace
    doubled: bool = False
    metric: Mapping[str, object] = field(default_factory=lambda: {"preset": {"source": "HTTP", "measure": "ErrorRate"}})
    labels: tuple[str, str] = ("namespace", "pod")
    events: str = "http_requests_total"

    async def newest(self, session: aiohttp.ClientSession, namespace: str) -> float:
        """Return up to when it can be asked for all that the new version's pods have told; 0 where it cannot.

        It is asked, not reckoned: what is written from one server to another is late by seconds on a busy machine.
        """
        of, pod = self.labels
        query = f'{{__name__="{self.events}","{of}"="{namespace}","{pod}"=~"checkout-{CANARY}-.*"}}{_KEPT}'
        async with session.get(f"{self.address}/api/v1/query", params={"query": query}) as answer:
            found = (await answer.json())["data"]["result"]
        latest: dict[str, float] = {}
        for one in found:
            name = one["metric"][pod]
            latest[name] = max(latest.get(name, 0.0), one["values"][-1][0])
        return min(latest.values(), default=0.0)


@dataclass(frozen=True)
class Told:
    """How one shop ended on one back end.

    Attributes:
        back_end: its name.
        tale: what became of the version.
        outcome: what was made of it.
        seconds: from when its bad counts were there until it was shut; None where it was not.
        counted: share of its requests that was counted; None where there is no count.
        wrong: in words; empty where all is as it should be.
    """

    back_end: str
    tale: Tale
    outcome: str
    seconds: float | None
    counted: float | None
    wrong: str = ""

    def line(self) -> str:
        seconds = "" if self.seconds is None else f"{self.seconds:+.0f} s"
        counted = "" if self.counted is None else f"{self.counted:.3f}"
        return f"| {self.back_end} | {self.tale} | {self.outcome} | {seconds} | {counted} | {self.wrong or 'right'} |"


class Live:
    """The operator's reader, held to the clock: a look of an instant waits until it has come.

    Attributes:
        newest: up to when the back end had all counts, at each look.
    """

    def __init__(self, reader: Reader, back_end: BackEnd, session: aiohttp.ClientSession) -> None:
        self._reader = reader
        self._back_end = back_end
        self._session = session
        self.newest: dict[datetime, float] = {}

    async def read(
        self,
        gate: Gate,
        names: Names,
        revision: str,
        at: datetime,
        since: datetime | None = None,
        *,
        weight_since: datetime | None = None,
    ) -> Reading:
        await asyncio.sleep(max(0.0, at.timestamp() - time.time()))
        self.newest[at] = await self._back_end.newest(self._session, names.namespace)
        return await self._reader.read(gate, names, revision, at, since, weight_since=weight_since)

    def primed(self, gate: Gate, names: Names, revision: str) -> bool:
        return self._reader.primed(gate, names, revision)

    def forget(self, namespace: str, release: str) -> None:
        self._reader.forget(namespace, release)


def policy(pace: Pace, metric: Mapping[str, object]) -> RolloutPolicySpec:
    """At most half as many errors again as stable, at two steps and all traffic."""
    hold = f"{pace.hold:g}s"
    gate = {
        "name": "errors",
        "metric": metric,
        "versusStable": {"maxIncrease": {"percent": 50}},
        "interval": f"{pace.look:g}s",
    }
    steps = [{"weight": 10, "hold": hold}, {"weight": 50, "hold": hold}, {"weight": 100}]
    return RolloutPolicySpec.model_validate({"steps": steps, "bake": hold, "gates": [gate]})


async def play(back_end: BackEnd, shop: Shop) -> Told:
    """Play one shop on one back end; what goes wrong is in what is told."""
    pace, start = back_end.pace, datetime.fromtimestamp(shop.started, UTC)
    # What is held is held for ever: long enough to have been promoted.
    long = 6 if shop.tale is Tale.GONE else 12
    past = Past(shop.names, CANARY, start, start + timedelta(seconds=long * pace.hold))
    reader = Reader({CONNECTION: Connection(ConnectionConfig(name=CONNECTION, address=back_end.address))}, collecting=0.0)
    async with aiohttp.ClientSession() as session:
        live = Live(reader, back_end, session)
        try:
            result = await replay(policy(pace, back_end.metric), past, live)
        except ReplayError as error:
            return Told(back_end.name, shop.tale, "not judged", None, None, str(error))
        finally:
            reader.close()
    return _told(back_end, shop, result, live.newest)


def _told(back_end: BackEnd, shop: Shop, result: Result, newest: Mapping[datetime, float]) -> Told:
    there = shop.there(back_end.readers)
    shut = result.outcome is Outcome.ROLLED_BACK
    seconds = result.at.timestamp() - there if shut and there is not None else None
    found = next((one.evidence for one in result.status.gates if one.evidence is not None), None)
    counted, there_was, at_least = None, 0, 0
    if found is not None and found.until is not None:
        late = _READING if shop.tale is Tale.WELL else _READING_LATE
        there_was = shop.told(back_end.readers, found.until.timestamp() + late)
        # What has come until then was asked for at that look or a later one: at least what the back end had then is counted.
        asked = min(at for at in newest if at >= found.until)
        at_least = shop.told(back_end.readers, newest[asked] + _READING)
        counted = found.canary_requests / max(1, there_was)
    wrong = []
    wanted = {Tale.WELL: Outcome.PROMOTED, Tale.GONE: Outcome.UNFINISHED}.get(shop.tale, Outcome.ROLLED_BACK)
    if result.outcome is not wanted:
        wrong.append(f"wanted was {wanted}: {result.message}")
    if shop.tale is Tale.GONE and result.status.weight == 100:
        wrong.append("it got all traffic")
    if seconds is not None and seconds > (within := back_end.pace.within(shop.tale)):
        wrong.append(f"shut after {seconds:.0f} s, wanted within {within:.0f} s")
    # Of a version that is shut early, the last that was read is much of all.
    least = LEAST * at_least if shop.tale is Tale.WELL else 0.0
    telemetry = " ".join(one.telemetry for one in result.status.gates)
    if shop.tale is Tale.WELL and (f"are kept twice, once for each {_LABEL}; each counts once" in telemetry) != back_end.doubled:
        wrong.append(f"it was said: {telemetry}")
    if found is None or not least <= found.canary_requests <= MOST * there_was:
        wrong.append(f"counted {counted} of the requests")
    return Told(back_end.name, shop.tale, str(result.outcome), seconds, counted, "; ".join(wrong))


@asynccontextmanager
async def by_turns(addresses: Sequence[str]) -> AsyncIterator[str]:
    """Serve the address of what sends each request to the next of several servers."""
    turn = itertools.cycle(addresses)
    async with aiohttp.ClientSession() as session:

        async def forward(request: web.Request) -> web.Response:
            data = await request.read()
            headers = {name: value for name, value in request.headers.items() if name.lower() == "content-type"}
            async with session.request(request.method, f"{next(turn)}{request.path_qs}", data=data, headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read(), content_type=answer.content_type)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def _thanos(stack: AsyncExitStack, folder: Path, pair: Sequence[Program], pace: Pace) -> list[BackEnd]:
    """Start Thanos over a pair of Prometheus, once with deduplication and once without."""
    beside = [await stack.enter_async_context(sidecar(folder / f"sidecar-{number}", one)) for number, one in enumerate(pair)]
    found = []
    for name, labels in (("Thanos, deduplicating", (_REPLICA,)), ("Thanos, not deduplicating", ())):
        query = await stack.enter_async_context(thanos_query(folder / name, beside, *labels))
        found.append(BackEnd(name, query.address, ("one", "two"), pace))
    return found


async def _pushed_to(stack: AsyncExitStack, folder: Path, shops: Sequence[Shop], pace: Pace) -> list[BackEnd]:
    """Start what all pods push to by OTLP, once for each way in which their counters may be named."""
    found = []
    for strategy, metric, labels, events in otlp.WAYS:
        server = await stack.enter_async_context(prometheus(folder / strategy, otlp.accepting(strategy)))
        await stack.enter_async_context(otlp.pushing(shops, strategy, server.address, pace.scrape))
        found.append(
            BackEnd(
                f"Prometheus by OTLP, {strategy}", server.address, (strategy,), pace, metric=metric, labels=labels, events=events
            )
        )
    return found


async def back_ends(
    stack: AsyncExitStack, shops: Sequence[Shop], pages: Pages, folder: Path, pace: Pace, rare: Pace | None
) -> list[BackEnd]:
    """Start all programs; return what is asked."""

    async def start(make: Callable[..., Program], name: str, of: Pace, **more: object) -> Program:
        server = make(folder / name, pages.scraped(name, of.scrape, **more) if of.scrape else {})
        return await stack.enter_async_context(server)

    nobody = Pace(0, 0, 0)
    store = await start(victoria_metrics, "store", nobody)
    write = [_written_to(store)]
    if rare is not None:
        doubled = await start(victoria_metrics, "doubled", nobody)
        renamed = [{"source_labels": [_REPLICA], "target_label": _LABEL}, {"regex": _REPLICA, "action": "labeldrop"}]
        write.append(_written_to(doubled) | {"write_relabel_configs": renamed})
    pair = [
        await start(
            prometheus,
            name,
            pace,
            remote_write=write,
            **{"global": pages.scraped(name, pace.scrape)["global"] | {"external_labels": {_REPLICA: name}}},
        )
        for name in ("one", "two")
    ]
    victoria = await start(victoria_metrics, "victoria", pace)
    turns = await stack.enter_async_context(by_turns([one.address for one in pair]))
    found = [
        BackEnd("Prometheus", pair[0].address, ("one",), pace),
        BackEnd("a pair of Prometheus, by turns", turns, ("one", "two"), pace),
        BackEnd("VictoriaMetrics", victoria.address, ("victoria",), pace),
        BackEnd("VictoriaMetrics, written to by a pair", store.address, ("one", "two"), pace),
    ]
    found += await _pushed_to(stack, folder, shops, pace)
    if rare is not None:
        found.append(BackEnd("VictoriaMetrics, the same by another label", doubled.address, ("one", "two"), pace, doubled=True))
        found += await _thanos(stack, folder, pair, pace)
        rarely = await start(prometheus, "rarely", rare)
        found.append(BackEnd("Prometheus, every minute", rarely.address, ("rarely",), rare))
    return found


def _written_to(store: Program) -> dict[str, object]:
    return {"url": f"{store.address}/api/v1/write", "queue_config": {"batch_send_deadline": "1s"}}


async def everything(pace: Pace, rare: Pace | None = None, tales: Sequence[Tale] = tuple(Tale)) -> list[Told]:
    """Play all shops on all back ends, side by side."""
    shops = [Shop(tale, pace.rate) for tale in tales]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-backends-")))
        pages = Pages(shops)
        stack.push_async_callback((await pages.start()).cleanup)
        found = await back_ends(stack, shops, pages, folder, pace, rare)
        readers = {reader for one in found for reader in one.readers}
        # Stable has run for a while: everybody has read each page twice.
        for shop, reader in itertools.product(shops, readers):
            await shop.is_read_by(reader, times=2)
        if any(one.doubled for one in found):
            await asyncio.sleep(max(0.0, shops[0].opened + _GOES_ON - time.time()))
        now = time.time()
        for shop in shops:
            shop.started, shop.fault = now, float("inf") if shop.tale is Tale.WELL else now + (rare or pace).hold / 2
        return list(await asyncio.gather(*(play(one, shop) for one in found for shop in shops)))


def main() -> int:
    """Play everything and print a table; the exit status is 1 where something is not right."""
    parser = argparse.ArgumentParser(prog="field.backends", description="Shops that are judged by what real back ends say.")
    parser.add_argument("--sample", action="store_true", help="five times as fast, without scrapes every minute")
    told = asyncio.run(everything(SAMPLE) if parser.parse_args().sample else everything(REAL, RARE))
    print("| back end | the new version | outcome | shut after its counts were there | counted | |\n|---|---|---|---|---|---|")
    print("\n".join(one.line() for one in told))
    return 1 if any(one.wrong for one in told) else 0


if __name__ == "__main__":
    sys.exit(main())
