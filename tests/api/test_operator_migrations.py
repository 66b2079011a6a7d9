"""Migrations by Jobs on a real API server and a real PostgreSQL: pods of the Jobs are processes that execute real statements."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.audit import asked_by
from api.cluster_access import kubectl, needs_api
from api.operator_access import NAME, PATIENCE, SYSTEM, Scene, condition, install, scene_in, token_of
from api.postgres import POSSIBLE, Postgres, postgres
from tidegate.cluster.resources import CRON_JOBS, JOBS, RELEASE_RECORDS, RELEASES

pytestmark = [
    *needs_api,
    pytest.mark.xdist_group("operator-migrations"),
    pytest.mark.skipif(not POSSIBLE, reason="PostgreSQL refuses to run as root, and here is no other user"),
]

Json = dict[str, Any]
OPERATOR = f"system:serviceaccount:{SYSTEM}:tidegate"
ROWS, BATCH = 1000, 200
STEPS = [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "1s"}, {"weight": 100}]
PHASES = ("dryRun", "expand", "migrate", "contract", "rollback")
BEGIN = """
set -eu
mkdir -p dev
say() { psql -X -q -A -t -v ON_ERROR_STOP=1 -c "$1" 2>errors || { tail -n 1 errors >dev/termination-log; exit 1; }; }
say "INSERT INTO runs (phase, version, job) VALUES ('$TIDEGATE_PHASE', '$TIDEGATE_VERSION', '$JOB')"
"""
"""Each Job notes that it runs; if a statement fails, its error is what is left."""
SCRIPTS = {
    "backup": """
pg_dump -t orders >"$PGHOST/backup/$JOB.sql"
echo "backup/$JOB.sql sha256:$(sha256sum "$PGHOST/backup/$JOB.sql" | cut -c-64)" >dev/termination-log
""",
    "dryRun": """
[ "$TIDEGATE_DRY_RUN" = true ]
sql="ALTER TABLE orders ADD COLUMN total_cents bigint"
say "BEGIN; $sql; ROLLBACK"
printf '[{"operation": "add_column", "table": "orders", "sql": "%s"}]\\n' "$sql" >dev/termination-log
""",
    "expand": """
[ "$TIDEGATE_DRY_RUN" = false ]
[ "$TIDEGATE_VERSION" != v-unexpandable ] || say "ALTER TABLE no_such_table ADD COLUMN total_cents bigint"
say "ALTER TABLE orders ADD COLUMN total_cents bigint"
""",
    "migrate": f"""
while :; do
  left=$(say "SELECT count(*) FROM orders WHERE total_cents IS NULL")
  kubectl annotate job "$JOB" "tidegate.dev/progress=$((100 - 100 * left / {ROWS}))%" --overwrite >/dev/null
  [ "$left" -gt 0 ] || break
  while [ "$(say "SELECT count(*) FROM permits")" = 0 ]; do sleep 0.1; done
  say "DELETE FROM permits WHERE ctid = (SELECT ctid FROM permits LIMIT 1)"
  say "UPDATE orders SET total_cents = total * 100 WHERE id IN (SELECT id FROM orders WHERE total_cents IS NULL LIMIT {BATCH})"
  [ "$TIDEGATE_VERSION" != v-unmovable ] || say "UPDATE orders SET total_cents = 1 / 0"
done
echo "{ROWS} rows moved" >dev/termination-log
""",
    "contract": """
say "ALTER TABLE orders DROP COLUMN total"
""",
    "rollback": """
say "ALTER TABLE orders DROP COLUMN IF EXISTS total_cents"
""",
}


@dataclass
class Shop:
    """A scene with a database.

    Attributes:
        scene: the operator and its namespace.
        database: what the Jobs change.
    """

    scene: Scene
    database: Postgres

    def ran(self) -> list[str]:
        """Return the phases of the Jobs whose pods have run, in order, each as often as it ran."""
        return self.database.sql("SELECT phase FROM runs ORDER BY id")

    async def ran_so_far(self, *phases: str) -> None:
        """Wait until these have run."""
        await self.until(lambda: self.ran() == list(phases))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so in the database."""
        deadline = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < deadline, (self.ran(), await self.scene.status(), self.scene.operator.tail(20))
            await asyncio.sleep(0.1)

    def permit(self, batches: int) -> None:
        """Let the backfill move so many batches more."""
        self.database.sql(f"INSERT INTO permits SELECT FROM generate_series(1, {batches})")

    def totals(self) -> tuple[int, str]:
        """Return how many orders there are, and the sum of what is in their first column."""
        (found,) = self.database.sql("SELECT count(*) || ' ' || sum(total) FROM orders")
        count, total = found.split()
        return int(count), total


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


@pytest.fixture
async def shop(tmp_path: Path, server: Postgres) -> AsyncIterator[Shop]:
    """v1 serves, and its orders have a total; nothing has run yet."""
    backups = server.folder / "backup"
    backups.mkdir(exist_ok=True)
    server.sql(
        "DROP TABLE IF EXISTS orders, runs, permits",
        "CREATE TABLE orders (id serial PRIMARY KEY, total int NOT NULL)",
        f"INSERT INTO orders (total) SELECT n FROM generate_series(1, {ROWS}) n",
        "CREATE TABLE runs (id serial PRIMARY KEY, phase text, version text, job text)",
        "CREATE TABLE permits ()",
    )
    await asyncio.to_thread(install)
    async with scene_in(tmp_path) as scene:
        found = Shop(scene, server)
        await begin(found, tmp_path)
        yield found


async def begin(shop: Shop, folder: Path) -> None:
    scene = shop.scene
    access = await asyncio.to_thread(kubeconfig, scene, folder / "progress")
    for phase, script in SCRIPTS.items():
        await scene.create(CRON_JOBS, f"checkout-{phase.lower()}", **cron_job(shop, script, access))
    migrations = {phase: {"cronJob": f"checkout-{phase.lower()}"} for phase in PHASES}
    await scene.policy(steps=STEPS, bake="0s", drain="0s", backup={"cronJob": "checkout-backup"}, migrations=migrations)
    await scene.deployment()
    await scene.start()
    await scene.release()
    await scene.idle()


def cron_job(shop: Shop, script: str, access: Path) -> Json:
    """Return a CronJob whose pods are processes with this script, and which agrees."""
    tools = f"{Path(str(shutil.which('kubectl'))).parent}"
    environment = shop.database.environment | {"KUBECONFIG": str(access)}
    environment["PATH"] = f"{environment['PATH']}:{tools}"
    job = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
    pod = {
        "containers": [
            {
                "name": "migrate",
                "image": "registry.example/migrate:1",
                "command": ["sh", "-c", BEGIN + script],
                "env": [
                    *({"name": name, "value": value} for name, value in environment.items()),
                    {"name": "JOB", "valueFrom": job},
                ],
            }
        ],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
    }
    template = {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": template}
    return {"metadata": {"annotations": {"tidegate.dev/run-for": NAME}}, "spec": spec}


def kubeconfig(scene: Scene, path: Path) -> Path:
    """Return access of an account that may say how far its Job is, and nothing else."""
    place = scene.namespace
    kubectl("create", "serviceaccount", "migrator", "--namespace", place)
    kubectl("create", "role", "progress", "--verb=get,patch", "--resource=jobs.batch", "--namespace", place)
    kubectl("create", "rolebinding", "progress", "--role=progress", f"--serviceaccount={place}:migrator", "--namespace", place)
    whole = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    whole["users"] = [{"name": one["name"], "user": {"token": token_of("migrator", place)}} for one in whole["users"]]
    for one in whole["contexts"]:
        one["context"]["namespace"] = place
    path.write_text(yaml.safe_dump(whole))
    return path


def runs(status: Json) -> dict[str, Json]:
    """Return what a status has of each phase."""
    return {one["phase"]: one for one in (status.get("migration") or {}).get("runs") or ()}


async def restarted(shop: Shop) -> None:
    """The operator dies, and another one comes."""
    await shop.scene.operator.end(signal.SIGKILL)
    await shop.scene.start()


async def test_database_changes_with_the_version_and_each_job_runs_once(shop: Shop) -> None:
    """Backup, dry run, expand; a backfill in batches with its progress; promotion; contract; and a way back that asks a person.

    The operator is killed while expand is wanted, in the middle of the backfill, and after the promotion.
    """
    scene, before = shop.scene, shop.totals()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: "Expand" in runs(status))
    await restarted(shop)
    await shop.ran_so_far("Backup", "DryRun", "Expand", "Migrate")
    shop.permit(2)
    half = await scene.until(lambda status: runs(status).get("Migrate", {}).get("progress") == "40%" and status["weight"] == 50)
    await restarted(shop)
    waits = await scene.until(lambda status: "migrate to succeed before 100%" in status["message"])
    assert (50, ["Migration"]) == (waits["weight"], [one["barrier"] for one in waits["waitingFor"]])
    assert {"id", "total", "total_cents"} == shop.database.columns("orders")
    shop.permit(ROWS // BATCH - 2)
    promoted = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")
    await restarted(shop)
    after = await scene.until(lambda status: runs(status).get("Contract", {}).get("result") == "Passed")

    assert "Promoted" == promoted["lastRollout"]["outcome"]
    assert ["Backup", "DryRun", "Expand", "Migrate", "Contract"] == shop.ran()
    assert {"id", "total_cents"} == shop.database.columns("orders")
    (sums,) = shop.database.sql("SELECT count(*) || ' ' || (sum(total_cents) / 100)::bigint FROM orders")
    assert before == (int(sums.split()[0]), sums.split()[1])
    artefact, digest = runs(after)["Backup"]["output"].split()
    assert digest.startswith("sha256:")
    assert "CREATE TABLE public.orders" in (shop.database.folder / artefact).read_text()
    assert f"{ROWS} rows moved" == runs(after)["Migrate"]["output"]
    assert "40%" == runs(half)["Migrate"]["progress"]

    (record,) = [one["spec"] for one in (await scene.admin.list(RELEASE_RECORDS.path(scene.namespace))).items]
    noted = {one["phase"]: one for one in record["migrations"]}
    (planned,) = json.loads(noted["DryRun"]["output"])
    assert ("add_column", "orders") == (planned["operation"], planned["table"])
    assert (["Passed"] * 4, f"{artefact} {digest}") == ([one["result"] for one in record["migrations"]], noted["Backup"]["output"])

    await scene.set_image("checkout:v1")
    held = await scene.until(lambda status: status["phase"] == "Waiting")
    assert held["message"].startswith("v1 waits for a person: contract of v2 has run since ")
    await scene.events("ReturnHeld", "MigrationStarted", "MigrationDone")
    shop.database.sql("ALTER TABLE orders ADD COLUMN total int", "UPDATE orders SET total = total_cents / 100")
    change = {"metadata": {"annotations": {"tidegate.dev/request": "retry/1"}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), change, manager="person")
    await scene.until(lambda status: status["stable"]["version"] == "v1" and not status.get("rollout"))
    assert (before, 5) == (shop.totals(), len(shop.ran()))


async def test_expand_that_fails_starts_nothing(shop: Shop) -> None:
    """The version is rejected with PostgreSQL's own words; what may have been half done is undone; no pod was ever there."""
    scene, before = shop.scene, shop.totals()
    await scene.set_image("checkout:v-unexpandable")
    after = await scene.until(lambda status: runs(status).get("Rollback", {}).get("result") == "Passed")

    assert ["Backup", "DryRun", "Expand", "Rollback"] == shop.ran()
    assert ("RolledBack", "MigrationFailed") == (after["phase"], after["lastRollout"]["cause"])
    assert 'ERROR: relation "no_such_table" does not exist' in after["lastRollout"]["message"]
    assert ({"id", "total"}, before) == (shop.database.columns("orders"), shop.totals())
    record = (await scene.admin.list(RELEASE_RECORDS.path(scene.namespace))).items[-1]["spec"]
    assert not record.get("exposedAt")
    asked = {(one.verb, one.resource) for one in asked_by(OPERATOR) if one.namespace == scene.namespace and one.group == "batch"}
    assert {("get", "cronjobs"), ("get", "jobs"), ("create", "jobs")} == asked


async def test_backfill_that_fails_takes_the_version_back_and_loses_nothing(shop: Shop) -> None:
    """One batch is moved, the next divides by zero: no weight is left, the reverse drops the column, and all orders are there."""
    scene, before = shop.scene, shop.totals()
    await scene.set_image("checkout:v-unmovable")
    await scene.until(lambda status: status["weight"] == 50)
    shop.permit(1)
    after = await scene.until(lambda status: runs(status).get("Rollback", {}).get("result") == "Passed")

    assert ["Backup", "DryRun", "Expand", "Migrate", "Rollback"] == shop.ran()
    assert ("v1", 0, "MigrationFailed") == (after["stable"]["version"], after["weight"], after["lastRollout"]["cause"])
    assert "division by zero" in after["lastRollout"]["message"]
    assert ({"id", "total"}, before) == (shop.database.columns("orders"), shop.totals())


async def test_rollback_stops_the_backfill_and_undoes_it(shop: Shop) -> None:
    """In the middle of it, with the operator killed at once after: the Job and its pod go first, then the reverse runs, once."""
    scene, before = shop.scene, shop.totals()
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: status["weight"] == 50)
    shop.permit(2)
    await scene.until(lambda status: runs(status)["Migrate"].get("progress") == "40%")
    change = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), change, manager="person")
    await scene.until(lambda status: status["weight"] == 0)
    await restarted(shop)
    after = await scene.until(lambda status: runs(status).get("Rollback", {}).get("result") == "Passed")

    assert ["Backup", "DryRun", "Expand", "Migrate", "Rollback"] == shop.ran()
    assert "Stopped" == runs(after)["Migrate"]["result"]
    assert ({"id", "total"}, before) == (shop.database.columns("orders"), shop.totals())
    named = {
        job["metadata"]["labels"]["tidegate.dev/migration"] for job in (await scene.admin.list(JOBS.path(scene.namespace))).items
    }
    assert {"Backup", "DryRun", "Expand", "Rollback"} == named
    assert "False" != condition(after, "Stalled")[0]
