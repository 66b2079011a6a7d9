"""Releases over which a process has died come last, later each time, and are forgiven."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tidegate.controller.metrics import Metrics
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.process.suspects import NOTE, SURVIVED_SECONDS, Suspects, folder_of
from tidegate.runtime.clock import ManualClock
from tidegate.runtime.mark import MarkFile
from tidegate.runtime.queue import Lane
from tidegate.runtime.turns import Work
from unit.controller.api_server import settled

BAD, GOOD = ReleaseKey("shop", "bad"), ReleaseKey("shop", "good")


class Life:
    """One process's, from its start until it dies or ends."""

    def __init__(self, folder: Path | None, *, kept: dict[str, str] | None = None, busy: bool = False) -> None:
        self.clock, self.metrics = ManualClock(), Metrics()
        self.added: list[tuple[ReleaseKey, Lane]] = []
        self.suspects = Suspects(clock=self.clock, metrics=self.metrics, folder=folder, add=lambda *one: self.added.append(one))
        self.suspects.begin(kept or {})
        self.running = asyncio.create_task(self.suspects.run())
        for key in (BAD, GOOD):
            self.suspects.add(key, Lane.NORMAL)
        if not busy:
            self.suspects.done(GOOD)

    async def pass_time(self, seconds: float) -> None:
        await settled(lambda: self.clock.sleepers > 0)
        self.clock.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    def die(self, work: Work | None = None, *, turn: bool = True) -> None:
        """End as a process does that is killed in a turn: what is mapped stays as it is."""
        self.running.cancel()
        if work is not None:
            mark = self.suspects._mark
            assert mark is not None
            place = mark.begin(work)
            mark.turn(place if turn else 0)
            mark._map.close()
        else:
            self.suspects.close()

    def suspected(self) -> float:
        return self.metrics.registry.get_sample_value("tidegate_releases_suspected") or 0.0


async def test_release_over_which_a_process_died_comes_after_all_others(tmp_path: Path) -> None:
    """The next process looks at all others, and only when nothing is left to do at the one; it is forgiven after five minutes."""
    Life(tmp_path).die(Work("shop", "bad", "errors"))

    with capture_logs() as logs:
        second = Life(tmp_path, busy=True)
    await second.pass_time(0.5)
    await second.pass_time(5)
    before = list(second.added)
    second.suspects.done(GOOD)
    second.suspects.add(GOOD, Lane.LOW)
    await second.pass_time(0.5)
    after, suspected = list(second.added), second.suspected()
    await second.pass_time(SURVIVED_SECONDS)

    assert [(GOOD, Lane.NORMAL)] == before
    assert [(GOOD, Lane.NORMAL), (GOOD, Lane.LOW), (BAD, Lane.NORMAL)] == after
    assert (1.0, 0.0) == (suspected, second.suspected())
    told = next(one for one in logs if one["event"] == "the process before died over a Release")
    assert ("bad", "shop", "errors") == (told["release"], told["namespace"], told["gate"])
    second.die()
    assert [BAD, GOOD] == [key for key, _ in Life(tmp_path).added]


async def test_release_over_which_processes_die_again_and_again_comes_later_each_time(tmp_path: Path) -> None:
    """From the second death on it is left alone for a while, four times as long each time, so that the others are served."""
    for _ in range(3):
        Life(tmp_path).die(Work("shop", "bad"))
    fourth = Life(tmp_path)

    await fourth.pass_time(59)
    before = list(fourth.added)
    await fourth.pass_time(2)

    assert ([GOOD], [GOOD, BAD]) == ([key for key, _ in before], [key for key, _ in fourth.added])


async def test_one_that_was_only_under_way_is_not_left_alone_for_long(tmp_path: Path) -> None:
    """Between turns nobody knows which of several it was: however often that happens, each waits for some seconds at most."""
    for _ in range(5):
        Life(tmp_path).die(Work("shop", "bad"), turn=False)
    sixth = Life(tmp_path)

    await sixth.pass_time(16)

    assert [GOOD, BAD] == [key for key, _ in sixth.added]


async def test_others_that_never_end_do_not_keep_it_back_for_ever(tmp_path: Path) -> None:
    """After a minute it is worked on, whatever the others are at."""
    Life(tmp_path).die(Work("shop", "bad"))
    second = Life(tmp_path, busy=True)

    await second.pass_time(30)
    before = list(second.added)
    await second.pass_time(31)

    assert ([GOOD], [GOOD, BAD]) == ([key for key, _ in before], [key for key, _ in second.added])


async def test_lease_tells_processes_elsewhere(tmp_path: Path) -> None:
    """What one replica knows another learns from the Lease, and keeps there."""
    Life(tmp_path).die(Work("shop", "bad"))
    kept = Life(tmp_path).suspects.note()

    elsewhere = Life(None, kept=kept)

    assert {NOTE: json.dumps({"shop/bad": 1})} == kept == elsewhere.suspects.note()
    assert [(GOOD, Lane.NORMAL)] == elsewhere.added


@pytest.mark.parametrize("kept", ["", "no JSON", "[]", '{"x": 1, "shop/bad": 0, "a/b": true, "/c": 2, "d/": 2, "e/f": "2"}'])
async def test_lease_that_holds_anything_is_read(kept: str) -> None:
    """What is not as it should be in the Lease puts nothing off."""
    assert [BAD, GOOD] == [key for key, _ in Life(None, kept={NOTE: kept}).added]


async def test_long_turn_is_named_and_one_of_seconds_is_like_a_death(tmp_path: Path) -> None:
    """Over half a second is told in log and metric; what may cost the Lease puts the Release off in the next process."""
    life = Life(tmp_path)
    with capture_logs() as logs:
        life.suspects._held(Work("shop", "good", "errors"), 0.7)
        life.suspects._held(Work("shop", "bad"), 57.6)
    life.die()

    held = [(one["namespace"], one["release"], one["gate"], one["seconds"]) for one in logs if "kept all others" in one["event"]]
    assert [("shop", "good", "errors", 0.7), ("shop", "bad", None, 57.6)] == held
    labels = {"namespace": "shop", "release": "good", "gate": "errors"}
    assert 1.0 == life.metrics.registry.get_sample_value("tidegate_loop_held_total", labels)
    assert [(GOOD, Lane.NORMAL)] == Life(tmp_path).added


async def test_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    """Without the file the operator works all the same."""
    with capture_logs() as logs:
        life = Life(tmp_path / "missing")

    assert ["work in progress cannot be recorded: if this process dies, the next one does not know of it"] == [
        one["event"] for one in logs
    ]
    assert [BAD, GOOD] == [key for key, _ in life.added]


def test_folder_is_the_pods_own_unless_it_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a cluster nothing is written that nobody has asked for."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    outside = folder_of(None), folder_of(tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    assert (None, tmp_path) == outside
    assert tmp_path == folder_of(None)


def test_mark_is_the_instances_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pods that share a folder do not share a file."""
    monkeypatch.setenv("POD_NAME", "tidegate-1")
    suspects = Suspects(clock=ManualClock(), metrics=Metrics(), folder=tmp_path, add=lambda *_: None)

    assert ["tidegate-tidegate-1.mark"] == [path.name for path in tmp_path.iterdir()]
    with pytest.raises(OSError, match=r"."):
        MarkFile(tmp_path / "tidegate-tidegate-1.mark")
    suspects.close()
