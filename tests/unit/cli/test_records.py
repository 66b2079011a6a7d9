"""`tidegate history`, `record` and `audit verify`: what people and auditors read of records, with a cluster and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulation.archive import object_of
from simulation.deciders import approve
from simulation.policies import finish, gate, idle, policy, step
from tidegate.api.names import Phase
from tidegate.governance.records import sealed
from unit.cli.conftest import Tidegate

Json = dict[str, Any]
QUICK = policy(step(25, "4s"), step(100), gates=(gate(),), bake="3s", approvals=[{"at": "Start", "roles": {"qa": 1}}])
RECORDS = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releaserecords"
RELEASES = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases"


@pytest.fixture(scope="module")
def records() -> list[Json]:
    """The records of a promotion that somebody approved, of a rollback, and of another promotion, made by the engine."""
    world = idle(QUICK)
    for image in ("v1.1.0", "v1.2.0", "v1.2.1"):
        world.apply(image)
        world.crank(4)
        approve(world, "ann")
        if image == "v1.2.0":
            assert world.crank(60, until=lambda: world.status.weight == 25)
            world.look("errors", 0.5)
            finish(world, Phase.ROLLED_BACK)
        else:
            finish(world)
    return [{"apiVersion": "tidegate.dev/v1alpha1", "kind": "ReleaseRecord", **one} for one in world.archive.objects]


def listed(items: list[Json]) -> Json:
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "ReleaseRecordList",
        "metadata": {"resourceVersion": "1"},
        "items": items,
    }


def release(records: list[Json], **chain: Any) -> Json:
    """Return the Release whose chain these are."""
    last = records[-1]["spec"]
    status = {"records": {"number": last["number"], "hash": last["hash"], "id": last["id"], "checkpoint": 1, **chain}}
    return {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "checkout", "namespace": "shop", "uid": "release"},
        "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "production"}},
        "status": status,
    }


@pytest.fixture
def typed(tidegate: Tidegate, cluster: Callable[[Json], tuple[Any, Path]]) -> Callable[..., Any]:
    """Type a command in a cluster that has some records and Releases."""

    def run(found: list[Json], of: list[Json] | None, *arguments: str) -> Any:
        releases = {f"{RELEASES}/{one['metadata']['name']}": one for one in of or ()}
        objects = {RECORDS: listed(found), RELEASES: {**listed(of or []), "kind": "ReleaseList"}, **releases}
        _, kubeconfig = cluster(objects)
        return tidegate(*arguments, "--kubeconfig", kubeconfig)

    return run


def test_history_lists_what_has_ended(typed: Callable[..., Any], records: list[Json]) -> None:
    """Each rollout with versions, outcome and who has approved, the oldest first; -o json has the records themselves."""
    text = typed(records, [release(records)], "history", "checkout")
    document = typed(records, [release(records)], "history", "-o", "json")

    assert 0 == text.exit_code, text.output
    rows = [line.split() for line in text.stdout.splitlines()[1:]]
    assert [("v1", "v1.1.0", "Promoted"), ("v1.1.0", "v1.2.0", "RolledBack"), ("v1.1.0", "v1.2.1", "Promoted")] == [
        (row[3], row[4], row[6]) for row in rows
    ]
    assert all("ann" in row for row in rows)
    assert [one["spec"] for one in records] == json.loads(document.stdout)


def test_history_of_another_release_is_empty(typed: Callable[..., Any], records: list[Json]) -> None:
    done = typed(
        records,
        [release(records), {**release(records), "metadata": {"name": "ledger", "namespace": "shop", "uid": "2"}}],
        "history",
        "ledger",
    )

    assert (0, True) == (done.exit_code, "no rollout is recorded" in done.stderr)


def test_record_says_what_had_no_room_in_it(typed: Callable[..., Any], records: list[Json]) -> None:
    """Given a record that leaves parts out, it shows which, and with whom it moved, and the chain verifies."""
    spec = sealed({**records[0]["spec"], "movedWith": ["orders", "web"], "omitted": ["from.images", "gates.limit"]})
    cut = [{**records[0], "spec": spec}]

    shown = typed(cut, [release(cut)], "record", "checkout")
    verified = typed(cut, [release(cut)], "audit", "verify")

    assert "  with     orders, web" in shown.stdout.splitlines()
    assert "  omitted  from.images, gates.limit" in shown.stdout.splitlines()
    assert 0 == verified.exit_code, verified.output


def test_record_shows_one_rollout(typed: Callable[..., Any], records: list[Json]) -> None:
    """The last one, that of a version, or the one that is named; who decided, weights, gates, reason."""
    last = typed(records, [release(records)], "record", "checkout")
    chosen = typed(records, [release(records)], "record", "checkout", "--version", "v1.2.0")
    named = typed(records, [release(records)], "record", records[1]["metadata"]["name"], "-o", "json")
    missing = typed(records, [release(records)], "record", "checkout", "--version", "v9")

    assert "shop/checkout: v1.1.0 to v1.2.1, minor: Promoted (all steps passed)" == last.stdout.splitlines()[0]
    assert "Approve by ann as qa" in last.stdout
    assert "gate     errors: Fail" in chosen.stdout
    assert "25% (step 1)" in chosen.stdout
    assert records[1]["spec"] == json.loads(named.stdout)
    assert (2, True) == (
        missing.exit_code,
        "no rollout of v9 is recorded; the last ones are of v1.1.0, v1.2.0, v1.2.1" in missing.stderr,
    )


def test_a_chain_as_it_was_written_verifies(
    typed: Callable[..., Any], records: list[Json], tmp_path: Path, tidegate: Tidegate
) -> None:
    """In the cluster, and in a file of `kubectl get rr -o json`, which does not tell whether the last ones are missing."""
    file = tmp_path / "rr.json"
    file.write_text(json.dumps(listed(records)))

    there, offline = typed(records, [release(records)], "audit", "verify"), tidegate("audit", "verify", "--file", file)

    head = records[-1]["spec"]["hash"]
    assert (0, f"shop/checkout: whole (3 records, 1 to 3), head {head}\n") == (there.exit_code, there.stdout)
    assert 0 == offline.exit_code
    assert "whether the last ones were deleted is not known: give --head" in offline.stdout


@pytest.mark.parametrize("what", ["changed", "missing", "beheaded", "moved", "forged"])
def test_what_was_done_to_a_chain_is_named(typed: Callable[..., Any], records: list[Json], what: str) -> None:
    """The exit status is 1, and the record is named: in words, and for machines."""
    first, second, third = json.loads(json.dumps(records))
    names = [one["metadata"]["name"] for one in records]
    match what:
        case "changed":
            second["spec"]["outcome"] = "Promoted"
            found, fault, name = [first, second, third], "changed", names[1]
        case "missing":
            found, fault, name = [first, third], "missing", names[1]
        case "beheaded":
            found, fault, name = [first, second], "missing", names[2]
        case "moved":
            first["metadata"], second["metadata"] = second["metadata"], first["metadata"]
            found, fault, name = [first, second, third], "reordered", names[0]
        case _:
            found, fault, name = (
                [first, second, object_of(sealed({**third["spec"], "message": "all is well"}))],
                "foreign",
                names[2],
            )

    done = typed(found, [release(records)], "audit", "verify", "checkout")
    document = json.loads(typed(found, [release(records)], "audit", "verify", "-o", "json").stdout)

    assert 1 == done.exit_code
    assert f"  {fault} {name}: " in done.stdout
    assert (fault, name) in {(one["fault"], one["record"]) for one in document[0]["findings"]}
    assert not document[0]["whole"]


def test_head_from_the_log_finds_a_deleted_end_offline(tidegate: Tidegate, records: list[Json], tmp_path: Path) -> None:
    """Given number and hash of the last record, a file verifies to its end."""
    file, last = tmp_path / "rr.json", records[-1]["spec"]
    file.write_text(json.dumps(records))
    short = tmp_path / "short.json"
    short.write_text(json.dumps(listed(records[:2])))

    whole = tidegate("audit", "verify", "checkout", "--file", file, "--head", f"3:{last['hash']}")
    cut = tidegate("audit", "verify", "checkout", "--file", short, "--head", "3")
    other = tidegate("audit", "verify", "checkout", "--file", file, "--head", f"3:sha256:{'0' * 64}")
    wrong = tidegate("audit", "verify", "checkout", "--file", file, "--head", "three")

    assert (0, 1, 1, 2) == (whole.exit_code, cut.exit_code, other.exit_code, wrong.exit_code)
    assert "missing" in cut.stdout
    assert "--head has the hash" in other.stdout


def test_a_record_that_is_yet_to_be_written_is_not_missing(typed: Callable[..., Any], records: list[Json]) -> None:
    """The status has its head, and says that it waits."""
    waiting = release(records, pending=[{"number": 3, "kept": "x"}])

    assert 0 == typed(records[:2], [waiting], "audit", "verify").exit_code
    assert 1 == typed(records[:1], [waiting], "audit", "verify").exit_code


def test_an_exported_stream_misses_what_was_deleted(
    tidegate: Tidegate, typed: Callable[..., Any], records: list[Json], tmp_path: Path
) -> None:
    """Given an audit stream, then a chain that was deleted whole, or whose Release was made again, is missed by its records."""
    stream = tmp_path / "audit.jsonl"
    lines = [json.dumps({"stream": "audit", "kind": "record", "id": "x", "record": one}) for one in records]
    stream.write_text("\n".join(['{"stream": "audit", "kind": "transition"}', '{"kind": "record", "rec', *lines, lines[0], ""]))
    file = tmp_path / "rr.json"
    file.write_text(json.dumps(records[:2]))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("no JSON\n")

    whole = typed(records, [release(records)], "audit", "verify", "--stream", stream)
    gone = typed([], [release(records)], "audit", "verify", "--stream", stream)
    short = tidegate("audit", "verify", "--file", file, "--stream", stream)
    nothing = tidegate("audit", "verify", "--file", file, "--stream", empty)
    away = tidegate("audit", "verify", "--file", file, "--stream", tmp_path / "none")

    assert (0, 1, 1, 0, 2) == tuple(one.exit_code for one in (whole, gone, short, nothing, away)), gone.output
    assert "numbers 1 to 3 are missing; they were exported" in gone.stdout
    assert f"missing {records[2]['metadata']['name']}: number 3 is missing; it was exported" in short.stdout
    assert "has no records: is it the audit stream" in nothing.output


def test_all_records_of_a_release_were_deleted(typed: Callable[..., Any], records: list[Json]) -> None:
    """With not one record left, the Release's status tells."""
    done = typed([], [release(records)], "audit", "verify")

    assert 1 == done.exit_code
    assert "shop/checkout: not as it was written (0 records)" in done.stdout


def test_records_of_a_release_that_is_gone_verify(typed: Callable[..., Any], records: list[Json]) -> None:
    """Nothing says which was the last one, and that is said."""
    done = typed(records, [], "audit", "verify", "checkout")

    assert 0 == done.exit_code
    assert "is not known" in done.stdout


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"kind": "PodList", "items": [{"kind": "Pod"}]}', '{"items": 3}', "3"])
def test_a_file_of_something_else_is_refused(tidegate: Tidegate, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rr.json"
    file.write_text(text)

    done = tidegate("audit", "verify", "--file", file)

    assert (2, True) == (done.exit_code, done.stderr.startswith("tidegate: --file: "))
