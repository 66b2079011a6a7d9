"""The audit stream: each transition and each decision has its line, at least once and with one id, whatever the disk does."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidegate.api.decision import DecisionOutcome
from tidegate.controller.reconcile.outbox import Outbox
from tidegate.controller.reconcile.outcomes import Outcomes
from tidegate.engine.plan import Settled
from tidegate.governance.records import against, verify
from tidegate.notifications.audit import Audit
from tidegate.notifications.config import AuditConfig
from unit.controller.api_server import settled
from unit.governance.test_records import chain
from unit.notifications.receiver import happened, release

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DECISION = {
    "metadata": {"namespace": "shop", "name": "checkout-1", "uid": "uid-1"},
    "spec": {
        "release": "checkout",
        "action": "Attest",
        "by": "ci",
        "role": "qa",
        "reason": "scan\x1b[2J ok",
        "groups": ["a"],
        "url": "https://user:s3cret@ci.example/report/1?token=s3cret#x",
    },
}
COUNTED = Settled("checkout-1", "uid-1", DecisionOutcome.COUNTED, "it counts")


class Stream:
    """An audit stream into a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.moved: list[tuple[str, str]] = []
        self.audit = Audit(
            AuditConfig(file=str(file)),
            cluster="west",
            moved=lambda *key: self.moved.append(key),
            decision=lambda _, name: DECISION if name == "checkout-1" else None,
        )

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    one = Stream(tmp_path / "audit.jsonl")
    one.audit.start()
    yield one
    await one.audit.stop(within=1)


async def test_each_transition_has_a_line(stream: Stream) -> None:
    """Given transitions, then each is taken once its line is there, with its id, and its status is to note it."""
    ones = [happened(number, "paused", AT) for number in (1, 2)]
    for one in ones:
        stream.audit.take(release(), one, again=False)

    await settled(lambda: all(stream.audit.taken(release(), one) for one in ones))

    assert [("audit", "transition", "uid-checkout.1", "paused"), ("audit", "transition", "uid-checkout.2", "paused")] == [
        (line["stream"], line["kind"], line["id"], line["event"]) for line in stream.lines
    ]
    assert [("shop", "checkout")] * 2 == stream.moved
    assert ("v2", "west", "2026-01-02T03:04:05.000Z") == tuple(stream.lines[0][name] for name in ("version", "cluster", "time"))


async def test_a_decision_that_counts_has_a_line_once(stream: Stream) -> None:
    """Given an outcome that passes tell again and again, then it is one line, with who has decided, and without secrets."""
    outbox = Outbox([stream.audit])
    outcomes = Outcomes(None, clock=None, noted=outbox.decided)  # type: ignore[arg-type]
    for _ in range(3):
        outcomes.tell("shop", [COUNTED], AT)

    await settled(lambda: len(stream.lines) == 1)

    expected = {
        "stream": "audit",
        "kind": "decision",
        "id": "uid-1.Counted",
        "time": "2026-01-02T03:04:05.000Z",
        "namespace": "shop",
        "decision": "checkout-1",
        "outcome": "Counted",
        "message": "it counts",
        "url": "https://ci.example/report/1",
        "cluster": "west",
        "release": "checkout",
        "action": "Attest",
        "by": "ci",
        "role": "qa",
        "reason": "scan\ufffd[2J ok",
    }
    assert [expected] == stream.lines


async def test_a_record_has_a_line_with_all_of_it(stream: Stream) -> None:
    """Given the records of a Release, then their lines are a copy of the chain, which verifies, and each is told to be kept."""
    objects, kept = chain(3), []
    outbox = Outbox([stream.audit])
    for one in objects:
        outbox.recorded(one, lambda number=one["spec"]["number"]: kept.append(number))

    await settled(lambda: len(kept) == 3)

    assert ["audit record uid-1.record-1", "audit record uid-1.record-2", "audit record uid-1.record-3"] == [
        f"{line['stream']} {line['kind']} {line['id']}" for line in stream.lines
    ]
    copies = [line["record"] for line in stream.lines]
    assert [] == verify(copies) == against(objects, copies)


def test_without_a_stream_records_wait_for_nobody() -> None:
    """Given no audit stream, then a record is done with once it is written in the cluster."""
    kept: list[int] = []
    Outbox([]).recorded(chain(1)[0], lambda: kept.append(1))

    assert [1] == kept


async def test_a_decision_that_is_gone_has_a_line_all_the_same(stream: Stream) -> None:
    """Given a decision that was deleted meanwhile, then its uid and what became of it are written."""
    stream.audit.decided("shop", Settled("gone", "uid-2", DecisionOutcome.REFUSED, "no such Release"), AT)

    await settled(lambda: len(stream.lines) == 1)

    assert ("uid-2.Refused", "gone") == (stream.lines[0]["id"], stream.lines[0]["decision"])


async def test_a_file_that_cannot_be_written_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a folder that is not there yet, then what was taken is not noted as written, and is written once it can be."""
    monkeypatch.setattr("tidegate.notifications.audit.AGAIN_SECONDS", 0.01)
    stream = Stream(tmp_path / "later" / "audit.jsonl")
    stream.audit.start()
    one = happened(1, "paused", AT)
    stream.audit.take(release(), one, again=False)
    stream.audit.take(release(), happened(2, "resumed", AT), again=False)
    before = stream.audit.taken(release(), one)
    (tmp_path / "later").mkdir()

    await settled(lambda: len(stream.lines) == 2)
    await stream.audit.stop(within=1)

    assert (False, ["paused", "resumed"]) == (before, [line["event"] for line in stream.lines])


async def test_a_full_disk_spoils_one_line_at_most(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a write that is cut short, then the line is written again, on a line of its own."""
    monkeypatch.setattr("tidegate.notifications.audit.AGAIN_SECONDS", 0.01)
    write, room = os.write, [10]

    def full(descriptor: int, data: bytes) -> int:
        if room:
            if not room[0]:
                room.pop()
                raise OSError(28, "No space left on device")
            sent, room[0] = write(descriptor, data[: room[0]]), 0
            return sent
        return write(descriptor, data)

    monkeypatch.setattr("tidegate.notifications.audit.os.write", full)
    one = happened(1, "paused", AT)
    stream.audit.take(release(), one, again=False)
    await settled(lambda: stream.audit.taken(release(), one))
    torn, whole = stream.file.read_text().splitlines()

    assert (10, "uid-checkout.1") == (len(torn), json.loads(whole)["id"])


async def test_a_file_may_be_rotated(stream: Stream) -> None:
    """Given a file that is moved away, then the next line is in a new one."""
    stream.audit.take(release(), happened(1, "paused", AT), again=False)
    await settled(lambda: len(stream.lines) == 1)
    stream.file.rename(stream.file.with_suffix(".1"))
    stream.audit.take(release(), happened(2, "resumed", AT), again=False)

    await settled(lambda: len(stream.lines) == 1)

    assert ["resumed"] == [line["event"] for line in stream.lines]


async def test_standard_error_gets_whole_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """Given no file, then lines go to standard error, told from the log by their stream."""
    audit = Audit(AuditConfig(), cluster=None, moved=lambda *_: None, decision=lambda *_: None)
    audit.start()
    audit.take(release(), happened(1, "paused", AT), again=False)
    await audit.stop(within=2)

    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert [("audit", "paused")] == [(line["stream"], line["event"]) for line in lines if line.get("stream") == "audit"]


async def test_what_was_put_off_is_written_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given more transitions than may wait, those beyond are written later and not lost; decisions have room of their own."""
    monkeypatch.setattr("tidegate.notifications.audit.MOST", 2)
    stream = Stream(tmp_path / "audit.jsonl")
    ones = [happened(number, "paused", AT) for number in (1, 2, 3, 4, 5)]
    for one in ones[:4]:
        stream.audit.take(release(), one, again=False)
    stream.audit.decided("shop", COUNTED, AT)
    stream.audit.start()
    await settled(lambda: len(stream.lines) == 3)
    stream.audit.take(release(), ones[4], again=False)

    await settled(lambda: all(stream.audit.taken(release(), one) for one in ones))
    await stream.audit.stop(within=1)

    transitions = [line["number"] for line in stream.lines if line["kind"] == "transition"]
    assert ([1, 2, 3, 4, 5], 6) == (transitions, len(stream.lines))
