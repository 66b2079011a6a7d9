"""The bench of speed and scale: its stand-ins say what the bench has set, and its figures are what was seen."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from bench.direct_pages import wish
from bench.measure import Figure
from bench.scale.fleet import seed_gates
from bench.scale.gateway import accepted, weight
from bench.scale.pages import PagePod, Pages
from bench.scale.report import BEGIN, END, kept, line, merged, number, write
from bench.scale.spread import beside_plain, percentile
from bench.scale.telemetry import CANARY_RATE, STABLE_RATE, Telemetry
from bench.scale.usage import OPERATOR, Audit

from tidegate.api.gate import Gate
from tidegate.judge.split import ALPHA, Finding, judged
from tidegate.prometheus.answers import Read, Result, Trouble
from tidegate.prometheus.batching import Batcher, join
from tidegate.prometheus.config import ConnectionConfig
from tidegate.prometheus.connections import Connection
from tidegate.prometheus.copies import Copied, copies
from tidegate.prometheus.counters import Shape, raw_counters
from tidegate.prometheus.direct.text import Series, TextPage
from tidegate.prometheus.instants import Samples, ask_all
from tidegate.prometheus.presets import Version
from tidegate.prometheus.promql import Names, pods_of
from tidegate.prometheus.reader import Reader
from tidegate.prometheus.samples import Form

SHOP = ("bench-0", "shop-0001")


NAMES = Names(*SHOP, SHOP[1], "", "", pods_of([f"{SHOP[1]}-aaaaa"]), pods_of([f"{SHOP[1]}-bbbbb"]), 80)


def queries(gate: Gate) -> list[str]:
    """Total and bad of the new version, total and bad of stable."""
    asked = raw_counters(gate, NAMES)
    assert asked.stable is not None
    return [asked.canary.total, asked.canary.bad, asked.stable.total, asked.stable.bad]


async def ask(telemetry: Telemetry, at: float) -> list[float]:
    """Ask as the operator does: all queries of a look in one request."""
    gate = Gate.model_validate(seed_gates(5.0)[0])
    body = {"query": join(queries(gate), "nonce"), "time": f"{at:.3f}"}
    async with aiohttp.ClientSession() as session, session.post(f"{telemetry.address}/api/v1/query", data=body) as answer:
        result = (await answer.json())["data"]["result"]
    return [float(series["value"][1]) for series in sorted(result, key=lambda one: one["metric"]["tidegate_question"])]


@pytest.fixture
async def telemetry():
    stand_in = Telemetry(interval=5.0)
    stand_in.stable[SHOP] = "aaaaa"
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


async def test_a_breach_shows_from_its_instant_on(telemetry: Telemetry) -> None:
    """Counters are those of the instant that is asked for: half of an interval's requests fail at once, and none before."""
    before = time.time() - 5
    bad_at = telemetry.turn_bad(SHOP)

    early, late = await ask(telemetry, before), await ask(telemetry, bad_at + 0.001)

    assert pytest.approx(5 * CANARY_RATE, abs=3) == late[0] - early[0]
    assert pytest.approx(5 * CANARY_RATE / 2, abs=6) == late[1] - early[1]
    assert pytest.approx(5 * STABLE_RATE, abs=3) == late[2] - early[2]
    assert late[3] - early[3] < 10


async def test_it_is_known_when_a_breach_was_first_read(telemetry: Telemetry) -> None:
    """A look of before the breach does not count, whenever it is taken."""
    await ask(telemetry, time.time() - 5)
    bad_at = telemetry.turn_bad(SHOP)
    await ask(telemetry, bad_at - 1)
    unseen = telemetry.seen[SHOP].first_bad
    await ask(telemetry, bad_at + 0.001)

    assert unseen is None
    assert telemetry.seen[SHOP].first_bad is not None
    assert 3 == telemetry.seen[SHOP].looks
    assert (3, 12) == (telemetry.requests, telemetry.queries)


async def test_a_look_is_answered_in_parts(telemetry: Telemetry) -> None:
    """As the operator asks, with all queries of a version in one; it tells no times of samples, as it counts at every instant."""
    batcher = Batcher(Connection(ConnectionConfig(name="stand-in", address=telemetry.address)))
    asked, at = raw_counters(Gate.model_validate(seed_gates(5.0)[0]), NAMES), datetime.now(UTC)

    def ask(promql: str, read: Read) -> asyncio.Future[Result | Trouble]:
        return batcher.ask(promql, at, 100, read=read)

    found, together = await ask_all(ask, asked, Form.of(asked, 100), frozenset(Shape))
    batcher.connection.close()

    assert together
    assert isinstance(found, Samples)
    assert [1, 1] == [len(version.sightings) for version in found.versions]
    assert all(one.at is None for version in found.versions for one in version.sightings.values())
    assert 2 == telemetry.queries


async def test_nothing_is_kept_twice(telemetry: Telemetry) -> None:
    """Whether series are copies is asked by the times of their samples: nobody tells them, and one question is enough."""
    batcher = Batcher(Connection(ConnectionConfig(name="stand-in", address=telemetry.address)))
    gate, at = Gate.model_validate(seed_gates(5.0)[0]), datetime.now(UTC)

    found = await copies(lambda promql: batcher.ask(promql, at, 100), gate, NAMES, Version.CANARY)
    batcher.connection.close()

    assert (Copied(), 1) == (found, telemetry.queries)


async def test_a_split_does_no_harm(telemetry: Telemetry) -> None:
    """What stable has counted since its route was split is what it always counts: after a minute that is known."""
    reader = Reader({"stand-in": Connection(ConnectionConfig(name="stand-in", address=telemetry.address))})
    gate, at = Gate.model_validate(seed_gates(5.0)[0]), datetime.now(UTC)

    found = [await reader.around(gate, NAMES, "bbbbb", at, at - timedelta(seconds=ago)) for ago in (31.5, 75)]
    reader.close()

    assert [Finding.OPEN, Finding.HARMLESS] == [judged(one.around, alpha=ALPHA) for one in found if one.around is not None]


def test_percentiles_are_values_that_were_seen() -> None:
    """By the nearest-rank method: the worst of few is their 99th."""
    assert [2, 4, 1] == [percentile([3, 1, 4, 2], share) for share in (0.5, 0.99, 0.01)]


def test_weight_of_a_route() -> None:
    """In percent, whatever the weights add up to."""
    backends = [{"name": "shop-stable", "weight": 160}, {"name": "shop-canary", "weight": 40}]

    assert 20 == weight({"spec": {"rules": [{"backendRefs": backends}]}})
    assert 0 == weight({"spec": {"rules": [{"backendRefs": [{"name": "shop"}]}]}})


def test_a_route_is_accepted_as_it_is_now() -> None:
    """What was said of an earlier generation does not count."""
    route = {"metadata": {"generation": 2}, "status": {"parents": [{"conditions": [{"observedGeneration": 1}]}]}}

    assert not accepted(route)
    assert accepted({**route, "metadata": {"generation": 1}})


def entry(verb: str, stage: str, user: str = OPERATOR, code: int = 200, message: str = "") -> str:
    """A line of the audit log."""
    reference = {"resource": "releases", "subresource": "status"}
    status = {"code": code, "message": message}
    return json.dumps({"verb": verb, "stage": stage, "user": {"username": user}, "objectRef": reference, "responseStatus": status})


def test_requests_are_counted_by_the_audit_log(tmp_path: Path) -> None:
    """Those of the operator, once each, from where the log was read last; watches apart from all others."""
    log = tmp_path / "audit.log"
    log.write_text(entry("patch", "ResponseComplete") + "\n")
    audit = Audit(log)
    later = [
        entry("patch", "ResponseComplete"),
        entry("patch", "ResponseComplete", code=409),
        entry("list", "ResponseComplete", code=500, message="context canceled"),
        entry("patch", "ResponseComplete", user="kubernetes-admin"),
        entry("watch", "ResponseStarted"),
        entry("watch", "ResponseComplete"),
    ]
    with log.open("a") as more:
        more.write("\n".join(later) + "\n")

    found, nothing = audit.since(), audit.since()

    told = {
        "patch releases/status": 1,
        "patch releases/status 409": 1,
        "watch releases/status": 1,
        "list releases/status given up": 1,
    }
    assert told == found.by_kind
    assert (3, 2) == (found.total, found.upkeep)
    assert 0 == nothing.total


def test_requests_are_counted_where_the_audit_log_goes_on_in_a_new_file(tmp_path: Path) -> None:
    """However many files there were since it was read last, and also the end of the one that was read."""
    log = tmp_path / "audit.log"
    log.write_text(entry("list", "ResponseComplete") + "\n")
    audit = Audit(log)
    for turn, verbs in enumerate((["create", "get"], ["get"], ["get", "delete"])):
        with log.open("a") as more:
            more.writelines(entry(verb, "ResponseComplete") + "\n" for verb in verbs)
        if turn < 2:
            log.rename(tmp_path / f"audit-2026-01-01T00-00-0{turn}.000.log")

    found = audit.since()
    with log.open("a") as more:
        more.write(entry("watch", "ResponseStarted") + "\n")

    assert {"create": 1, "get": 3, "delete": 1} == {kind.split()[0]: count for kind, count in found.by_kind.items()}
    assert {"watch releases/status": 1} == audit.since().by_kind


def test_an_audit_log_may_begin_late(tmp_path: Path) -> None:
    """When the API server writes its first line."""
    audit = Audit(tmp_path / "audit.log")
    nothing = audit.since()
    (tmp_path / "audit.log").write_text(entry("get", "ResponseComplete") + "\n")

    assert 0 == nothing.total
    assert 1 == audit.since().total


def test_results_are_written_between_the_marks_of_the_page(tmp_path: Path) -> None:
    """What people wrote around them stays, and so does what was measured before and not now, be it in another checkout."""
    cell, before = (f"30 services, 5 s interval: breach to stable, {share}, in s" for share in ("p50", "p99"))
    folder, page, results = tmp_path / "kept", tmp_path / "performance.md", tmp_path / "results" / "scale.json"
    folder.mkdir()
    results.parent.mkdir()
    results.write_text(json.dumps([Figure(cell, 9.0, 9.0).to_wire(), Figure(before, 4.0, 9.0).to_wire()]))
    page.write_text(f"before\n\n{BEGIN}\nfigures of before\n{END}\n\nafter\n")
    (folder / "services-30.json").write_text(json.dumps({"figures": [Figure(cell, 2.5, 9.0, "a note").to_wire()]}))
    (folder / "services-30.quick.json").write_text(json.dumps({"figures": [Figure(cell, 0.1, 9.0).to_wire()]}))

    write(merged(results, kept(folder)), results, page)

    assert [(cell, 2.5, 2.6), (before, 4.0, 5.2)] == [
        (one["cell"], one["measured"], one["limit"]) for one in json.loads(results.read_text())
    ]
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "figures of before" not in text
    assert f"| {cell} | 5.2 | 15.2 | 2.6 | 2.5 | yes |" in text


def test_kinds_of_breaches_are_put_beside_each_other() -> None:
    """Each with its own spread, and the one over the other by their medians."""
    found = beside_plain({"plain": [0.1, 0.2, 0.4], "told": [0.1, 0.3, 0.5]}, "told")

    assert {"plain p50": 0.2, "plain p99": 0.4, "told p50": 0.3, "told p99": 0.5, "ratio p50": 0.3 / 0.2} == found
    assert {"plain p99": "3 breaches, the worst 0.40 s", "told p99": "3 breaches, the worst 0.50 s"} == found.notes


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    """Rather than to guess where the tables belong."""
    page = tmp_path / "performance.md"
    page.write_text("no marks")

    with pytest.raises(ValueError, match="no place for figures"):
        write([], tmp_path / "scale.json", page)
    assert "no marks" == page.read_text()


def test_figures_have_three_digits_that_count() -> None:
    """And say whether they hold."""
    assert ["0.0123", "2.5", "1,235", ""] == [number(value) for value in (0.012345, 2.5, 1234.6, None)]
    assert "cpu: 0.5, at most 0.4: NO" == line(Figure("cpu", 0.5, 0.4))


async def test_pages_say_what_a_pod_has_counted():
    """Half of the new version's requests fail from when its service turned bad, and none of stable's; pages have other metrics."""
    now = time.time()
    pages = Pages(pods={"10.0.0.1": PagePod(SHOP, False, now - 100, 0.5), "10.0.0.2": PagePod(SHOP, True, now - 100, 1.0)})

    pages.turn_bad(SHOP)
    pages.bad_since[SHOP] -= 10

    for address, rate, bad in (("10.0.0.1", CANARY_RATE / 2, 510), ("10.0.0.2", STABLE_RATE, 80)):
        one = TextPage(Series([wish("ErrorRate")]))
        one.feed(pages.text(address))
        events = one.end().counted[wish("ErrorRate")].events
        assert events.total == pytest.approx(100 * rate, rel=0.01)
        assert events.bad == pytest.approx(bad, rel=0.02)
    assert b"http_requests_total" not in pages.text("10.0.0.3")
