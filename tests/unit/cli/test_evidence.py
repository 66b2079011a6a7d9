"""`tidegate evidence` and `tidegate dora`: documents by the names that release processes use, and a page that loads nothing."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from simulation.archive import object_of
from simulation.deciders import approve, decide
from simulation.policies import finish, gate, idle, policy, step
from tidegate.api.decision import Action, Result
from tidegate.cli.evidence_documents import SCHEMAS, manifest
from tidegate.governance.records import sealed
from tidegate.governance.runs import RunState
from unit.cli.conftest import Tidegate

Json = dict[str, Any]
CHECK = {"name": "scan", "at": "Start", "attested": {"role": "ci"}}
GOVERNED = policy(
    step(25, "4s"), step(100), gates=(gate(),), bake="3s", approvals=[{"at": "Start", "roles": {"qa": 1}}], checks=[CHECK]
)
EVIL = "</svg><script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def record() -> Json:
    """The record of a version that somebody approved and a pipeline attested."""
    world = idle(GOVERNED)
    world.apply("v1.2.3")
    world.crank(4)
    approve(world, "ann", reason=f"looks good {EVIL}")
    decide(world, Action.ATTEST, "pipeline", role="ci", check="scan", result=Result.PASSED, url="https://ci.example.com/1")
    finish(world)
    spec: Json = world.archive.specs[-1]
    return spec


def written(tidegate: Tidegate, folder: Path, spec: Json, *more: str) -> tuple[Any, dict[str, str]]:
    """Write the evidence of a record; return how the command ended, and the files."""
    file, out = folder / "rr.json", folder / "out" / "v1.2.3"
    file.write_text(json.dumps([object_of(spec)]))
    done = tidegate("evidence", "checkout", "--out", out, "--file", file, *more)
    return done, {path.name: path.read_text() for path in sorted(out.iterdir())} if out.exists() else {}


def test_files_have_the_names_and_fields_that_processes_ask_for(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """Manifest, metrics, approvals and log of one promotion, each with its schema."""
    done, files = written(tidegate, tmp_path, record, "--version", "v1.2.3")

    assert 0 == done.exit_code, done.output
    assert {
        "approval.json",
        "approval.schema.json",
        "manifest.json",
        "manifest.schema.json",
        "metrics.json",
        "metrics.schema.json",
    } | {
        "promotion.log",
        "report.html",
    } == set(files)
    manifest, metrics, approval = (json.loads(files[f"{name}.json"]) for name in ("manifest", "metrics", "approval"))
    fields = {"id", "from_env", "to_env", "bundle_sha256", "migrations", "feature_flags", "tools_transcript_ids", "status"}
    fields |= {"created_by", "created_at", "promoted_at", "failed_at", "error_message"}
    assert fields <= manifest.keys()
    assert ("promoted", record["digest"].removeprefix("sha256:"), None) == (
        manifest["status"],
        manifest["bundle_sha256"],
        manifest["error_message"],
    )
    assert ("ann", "qa") == (approval["approvals"][0]["approved_by"], approval["approvals"][0]["role"])
    assert ("scan", "Passed") == (approval["checks"][0]["check"], approval["checks"][0]["result"])
    assert [25, 100] == [one["weight"] for one in metrics["course"]]
    assert "Pass" == metrics["gates"][0]["verdict"]
    assert {"name": "shop/checkout", "number": 1, "hash": record["hash"], "verified": True} == manifest["record"]


def test_each_document_keeps_its_schema(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """What is written is read by the model of the schema; a field more, or one less, is refused."""
    _, files = written(tidegate, tmp_path, record)

    for name, model in SCHEMAS.items():
        document, schema = json.loads(files[f"{name}.json"]), json.loads(files[f"{name}.schema.json"])
        assert model.model_validate(document).model_dump(mode="json") == document
        assert (set(schema["properties"]), False) == (set(document), schema["additionalProperties"])
        with pytest.raises(ValueError, match="extra"):
            model.model_validate({**document, "more": 1})
        with pytest.raises(ValueError, match="required"):
            model.model_validate({key: value for key, value in document.items() if key != "record"})


def test_log_is_in_the_order_of_time(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    _, files = written(tidegate, tmp_path, record)

    head, *lines = files["promotion.log"].splitlines()
    assert record["hash"] in head
    assert sorted(line.split()[0] for line in lines) == [line.split()[0] for line in lines]
    assert lines[0].endswith("v1.2.3 was first seen")
    assert lines[-1].endswith("Promoted (Promoted): all steps passed")
    assert any("Approve by ann as qa" in line for line in lines)


class Page(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_page_loads_and_runs_nothing(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """Whatever people have written, there is no script, no image, no handler and no address but those shown as text."""
    hostile = {**record, "message": EVIL, "to": {**record["to"], "version": EVIL, "images": {EVIL: EVIL}}}
    done, files = written(tidegate, tmp_path, sealed(hostile))

    page = Page(files["report.html"])

    assert 0 == done.exit_code, done.output
    assert not {"script", "img", "link", "iframe", "object", "a", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in {"src", "href"}]
    assert 2 == page.tags.count("svg")
    assert "default-src 'none'" in files["report.html"]


@pytest.mark.parametrize("outcome", ["RolledBack", "Superseded"])
def test_what_was_not_promoted_has_its_reason(tidegate: Tidegate, tmp_path: Path, record: Json, outcome: str) -> None:
    spec = sealed({**record, "outcome": outcome, "message": "error rate 5.2%", "undoAt": record["endedAt"]})
    _, files = written(tidegate, tmp_path, spec)

    manifest = json.loads(files["manifest.json"])
    status = {"RolledBack": "rolled_back", "Superseded": "failed"}[outcome]
    assert (status, "error rate 5.2%", None) == (manifest["status"], manifest["error_message"], manifest["promoted_at"])
    assert record["endedAt"] == manifest["failed_at"]


def test_a_record_that_was_changed_is_no_evidence(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """The files say so, and the exit status is 1."""
    done, files = written(tidegate, tmp_path, {**record, "outcome": "Promoted", "message": "changed"})

    assert (1, True) == (done.exit_code, "does not match its hash" in done.stderr)
    assert not json.loads(files["manifest.json"])["record"]["verified"]
    assert "its content has another hash" in files["report.html"]


@pytest.mark.parametrize("spec", [{"release": "checkout"}, {"release": "checkout", "outcome": "Promoted", "id": "x"}])
def test_what_is_no_record_ends_in_words(tidegate: Tidegate, tmp_path: Path, spec: Json) -> None:
    file = tmp_path / "rr.json"
    file.write_text(json.dumps([{"metadata": {"name": "odd"}, "spec": spec}]))

    done = tidegate("evidence", "checkout", "--out", tmp_path / "out", "--file", file)

    assert (2, True) == (done.exit_code, "cannot be read" in done.stderr)


def test_dora_counts_what_records_say(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """Of one promotion long ago: within so many days it is one of one, and nothing of the last month."""
    file = tmp_path / "rr.json"
    file.write_text(json.dumps([object_of(record), {"metadata": {"name": "odd"}, "spec": {"release": "checkout"}}]))

    text = tidegate("dora", "--file", file, "--days", 3660)
    document = json.loads(tidegate("dora", "--file", file, "--days", 3660, "-o", "json").stdout)
    month = tidegate("dora", "--file", file)

    assert 0 == text.exit_code, text.output
    assert "100.0%" in text.stdout
    (service,) = document["services"]
    assert ("checkout", 1, 1.0, True) == (
        service["release"],
        service["promoted"],
        service["successRate"]["value"],
        service["successRate"]["met"],
    )
    assert (0, 0) == (service["leadTimesFromCommits"], service["commitsIgnored"])
    assert "lead time (median), from the commit for 0 of 1, else from first seen" in text.stdout
    assert (0, True) == (month.exit_code, "no rollout of the last 30 days is recorded" in month.stderr)


PLAN = '[{"operation": "add_column", "table": "orders", "sql": "ALTER TABLE orders ADD COLUMN total_cents bigint"}]'


@pytest.mark.parametrize(
    ("output", "planned"),
    [
        (PLAN, ("add_column", "orders", "ALTER TABLE orders ADD COLUMN total_cents bigint", {"result": "Passed"})),
        ("1 statement", ("expand", None, None, {"result": "Passed", "output": "1 statement"})),
        ('{"operation": 1}', ("expand", None, None, {"result": "Passed", "output": '{"operation": 1}'})),
        ("[[]]", ("expand", None, None, {"result": "Passed", "output": "[[]]"})),
    ],
)
def test_manifest_has_migrations_with_their_dry_run_and_the_backup(
    tidegate: Tidegate, tmp_path: Path, output: str, planned: tuple[Any, ...]
) -> None:
    """The plan that the dry run left, or its result as text; the artefact by its reference; the log has when each ended."""
    jobs = {"dryRun": {"cronJob": "dry"}, "expand": {"cronJob": "expand"}}
    world = idle(policy(step(100), bake="3s", backup={"cronJob": "backup"}, migrations=jobs))
    world.apply("v1.2.3")
    for phase, said in (("Backup", "s3://backups/1"), ("DryRun", output), ("Expand", "")):
        world.crank(5)
        world.jobs.end(phase, RunState.COMPLETE, said)
    finish(world)

    done, files = written(tidegate, tmp_path, world.archive.specs[-1])

    assert 0 == done.exit_code, done.output
    manifest = json.loads(files["manifest.json"])
    (found,) = manifest["migrations"]
    assert (*planned, "Passed") == tuple(found[name] for name in ("operation", "table", "sql", "dry_run_result", "result"))
    assert ("s3://backups/1", "Passed") == (manifest["backup"]["reference"], manifest["backup"]["result"])
    assert SCHEMAS["manifest"].model_validate(manifest).model_dump(mode="json") == manifest
    assert any("Backup Passed (Job checkout-backup-" in line for line in files["promotion.log"].splitlines())
    assert "s3://backups/1" in files["report.html"]


def test_checks_by_jobs_and_where_a_version_comes_from_are_evidence(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """Given a record with checks by a Job and with a Release that proved the version, then the files have both."""
    job = {"name": "smoke", "at": "50%", "result": "Failed", "by": "CronJob smoke", "job": "smoke-1", "attempt": 2}
    run = {**job, "ended": "2026-01-02T03:04:05Z", "message": "exit status 3"}
    after = [{"release": "checkout", "namespace": "far", "cluster": "west"}, {"release": "checkout", "namespace": "shop-staging"}]
    spec = sealed({**record, "checks": [run], "after": after})
    staging = sealed({**record, "namespace": "shop-staging", "environment": "staging"})
    file, out = tmp_path / "rr.json", tmp_path / "out"
    file.write_text(json.dumps([object_of(spec), object_of(staging)]))

    done = tidegate("evidence", "checkout", "--out", out, "--file", file, "-n", "shop")
    manifest, approval = (json.loads((out / f"{name}.json").read_text()) for name in ("manifest", "approval"))
    said = tidegate("record", "checkout", "--file", file, "-n", "shop").stdout

    assert 0 == done.exit_code, done.output
    assert "staging" == manifest["from_env"]
    assert [("smoke", "50%", "Failed", "CronJob smoke", "smoke-1", 2)] == [
        tuple(one[name] for name in ("check", "at", "result", "run_by", "job", "attempt")) for one in approval["check_runs"]
    ]
    words = "check smoke at 50%: Failed by CronJob smoke, smoke-1: exit status 3"
    assert f"2026-01-02T03:04:05Z {words}" in (out / "promotion.log").read_text()
    assert words in said
    assert "smoke-1" in (out / "report.html").read_text()


def test_what_had_no_room_is_named(tidegate: Tidegate, tmp_path: Path, record: Json) -> None:
    """Given a record without its images, then no file has it that there were none."""
    spec = sealed({**record, "to": {"version": "v1.2.0"}, "omitted": ["from.images", "to.images"]})
    file, out = tmp_path / "rr.json", tmp_path / "out"
    file.write_text(json.dumps([object_of(spec)]))

    done = tidegate("evidence", "checkout", "--out", out, "--file", file, "-n", "shop")

    assert 0 == done.exit_code, done.output
    told = [json.loads((out / f"{name}.json").read_text())["omitted_parts"] for name in ("manifest", "approval", "metrics")]
    assert [["from.images", "to.images"]] * 3 == told
    assert "# not recorded, for want of room: from.images, to.images" == (out / "promotion.log").read_text().splitlines()[1]


def test_flags_are_what_they_were_when_the_rollout_had_ended() -> None:
    """True or false for the variants on and off, else the percentage or the variant; what was restored is what it was before."""
    flags = [
        {"name": "feature", "flag": "new-checkout", "before": "off", "set": "on"},
        {"name": "search", "flag": "search", "before": "off", "set": "50%", "restored": True},
        {"name": "plan", "flag": "plan", "before": "basic", "set": "60%"},
        {"name": "payments", "flag": "payments", "before": "on", "set": "on", "switched": "off"},
    ]
    found = manifest({"id": "rel_20261130_1200", "outcome": "Promoted", "endedAt": "", "seenAt": "", "flags": flags})
    assert {"new-checkout": "true", "search": "false", "plan": "60%", "payments": "false"} == found.feature_flags
