"""Every figure of the bench by name, with its limit and with what the peers were measured to do on such a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A figure that is wanted.

    Attributes:
        key: group and name; what the groups give their figures.
        cell: in words, with the unit.
        limit: the greatest that it may be; None where it is only printed.
        argo: what Argo Rollouts 1.10 was measured to do; empty where it was not.
        flagger: the same of Flagger 1.44.
    """

    key: str
    cell: str
    limit: float | None = None
    argo: str = ""
    flagger: str = ""


ROWS = (
    Row("services-30/breach p50", "30 services, 5 s interval: breach to stable, p50, in s", 2.6, "5.2", "15.2"),
    Row("services-30/breach p99", "30 services, 5 s interval: breach to stable, p99, in s", 5.2, "7.4", "17.0"),
    Row("services-30/reading p50", "30 services, 5 s interval: first bad reading to stable, p50, in s", 0.03, "1.3", "10.0"),
    Row("services-30/reading p99", "30 services, 5 s interval: first bad reading to stable, p99, in s", 0.15, "2.8", "10.8"),
    Row("direct-30/breach p50", "30 services read directly every second: first bad request to stable, p50, in s", 1.3),
    Row("direct-30/breach p99", "30 services read directly every second: first bad request to stable, p99, in s", 2.5),
    Row("services-200/reading p50", "200 services, 2 s interval: first bad reading to stable, p50, in s", 0.05, "17.5"),
    Row("services-200/reading p99", "200 services, 2 s interval: first bad reading to stable, p99, in s", 0.5, "25.0"),
    Row(
        "services-300/reading p50", "300 services at one instant, 5 s interval: first bad reading to stable, p50, in s", 0.5, "21.7"
    ),
    Row(
        "services-300/reading p99", "300 services at one instant, 5 s interval: first bad reading to stable, p99, in s", 2.0, "33.7"
    ),
    Row("services-500/reading p99", "500 services at one instant, 5 s interval: first bad reading to stable, p99, in s", 3.0),
    Row(
        "governed-200/ratio p50",
        "200 services with 3 approvals, 2 windows and a freeze each: first bad reading to stable, p50, over that without",
        1.05,
    ),
    Row(
        "told-1000/ratio p50",
        "1,000 Releases mid-canary, 10 s interval, channels of which one hangs: breach to stable, p50, over that without channels",
        1.05,
    ),
    Row("votes-200/vote p99", "200 services mid-canary: an approval is made until its weight is given, p99, in s", 0.5),
    Row("services-30/adoption", "API requests per service, adoption of an existing Deployment", 5, "18 to 19.5", "47"),
    Row("services-30/rollout", "API requests per service, one rollout to 20% and rollback", 18, "44 to 77", "121"),
    Row("services-200/memory", "resident memory at 200 services mid-canary, in MB", 130, "135", "71 (at 30)"),
    Row("canary-1000/cpu", "1,000 Releases mid-canary, 10 s interval: processor, in cores", 0.4),
    Row("canary-1000/memory", "1,000 Releases mid-canary, 10 s interval: resident memory, in MB", 200),
    Row("canary-1000/restart", "restart with 1,000 mid-canary: until every one is judged again, in s", 10),
    Row("idle-5000/requests", "5,000 idle Releases: API requests per hour", 0),
    Row("idle-5000/cpu", "5,000 idle Releases: processor, in cores", 0.02),
    Row("idle-5000/memory", "5,000 idle Releases: resident memory, in MB", 250),
    Row("soak/memory growth", "soak of 30 min, 1,000 Releases: resident memory, minutes 25 to 30 over 5 to 10, in %", 5),
    Row("soak/handles growth", "soak: open files and sockets, medians, minutes 25 to 30 over 15 to 20", 0),
    Row(
        "soak/slower p50",
        "soak: first bad reading to stable, p50 of the last third over what the first allows (1.2 times + 50 ms)",
        1,
    ),
    Row(
        "soak/slower p99",
        "soak: first bad reading to stable, p99 of the last third over what the first allows (1.2 times + 50 ms)",
        1,
    ),
    Row("soak/wrong", "soak: rollouts that ended wrongly", 0),
    Row("governed-200/plain p50", "the same without governance: first bad reading to stable, p50, in s"),
    Row("governed-200/governed p50", "the same with it: p50, in s"),
    Row("governed-200/plain p99", "without governance: p99, in s"),
    Row("governed-200/governed p99", "with it: p99, in s"),
    Row("told-1000/plain p50", "the same without channels: breach to stable, p50, in s"),
    Row("told-1000/told p50", "the same with them: p50, in s"),
    Row("told-1000/plain p99", "without channels: p99, in s"),
    Row("told-1000/told p99", "with them: p99, in s"),
    Row("told-1000/reading plain p50", "without channels: first bad reading to stable, p50, in s"),
    Row("told-1000/reading told p50", "with them: p50, in s"),
    Row("votes-200/vote p50", "200 services mid-canary: an approval is made until its weight is given, p50, in s"),
    Row("direct-30/cpu", "30 services read directly every second: processor, in cores"),
    Row("services-200/breach p50", "200 services, 2 s interval: breach to stable, p50, in s"),
    Row("services-200/breach p99", "200 services, 2 s interval: breach to stable, p99, in s"),
    Row("services-300/breach p50", "300 services at one instant, 5 s interval: breach to stable, p50, in s"),
    Row("services-300/breach p99", "300 services at one instant, 5 s interval: breach to stable, p99, in s"),
    Row("services-500/reading p50", "500 services at one instant, 5 s interval: first bad reading to stable, p50, in s"),
    Row("services-500/breach p50", "500 services at one instant, 5 s interval: breach to stable, p50, in s"),
    Row("services-500/breach p99", "500 services at one instant, 5 s interval: breach to stable, p99, in s"),
    Row("services-500/memory", "resident memory at 500 services mid-canary, in MB"),
    Row("services-200/rollout", "API requests per service, one rollout to 20% and rollback, 200 services"),
    Row("canary-1000/queries", "1,000 Releases mid-canary, 10 s interval: HTTP requests to Prometheus per second"),
    Row("canary-1000/writes", "1,000 Releases mid-canary, 10 s interval: API requests per second"),
    Row("canary-1000/restart memory", "the same after a restart: resident memory, in MB"),
    Row(
        "seed-1000/cpu", "1,000 Releases mid-canary under the three gates of the example policy, 10 s interval: processor, in cores"
    ),
    Row("seed-1000/memory", "the same: resident memory, in MB"),
    Row("seed-1000/queries", "the same: HTTP requests to Prometheus per second"),
    Row("seed-1000/restart", "the same: restart, until every one is judged again, in s"),
    Row(
        "idle-5000/upkeep",
        "5,000 idle Releases: API requests per hour of the operator's own upkeep (watches, lists, the hold policy)",
    ),
    Row("idle-5000/adoption", "5,000 services that exist: from the first Release until all are adopted, in s"),
    Row("idle-5000/start", "5,000 idle Releases: from the start of the process until it is ready, in s"),
    Row("idle-5000/base", "the operator without any Release: resident memory, in MB"),
    Row("idle-5000/each", "memory of an idle Release with all that is around it, in kB"),
    Row("canary-1000/each", "memory of a Release mid-canary with all that is around it, in kB"),
    Row("soak/rollouts", "soak: rollouts done"),
    Row("soak/memory", "soak: resident memory at the end, in MB"),
    Row("soak/memory slope", "soak: growth of resident memory in the second half (Theil-Sen), in MB per hour"),
    Row("soak/threads growth", "soak: threads, likewise"),
    Row("soak/reading p50", "soak: first bad reading to stable in the last third, p50, in s"),
    Row("soak/reading p99", "soak: first bad reading to stable in the last third, p99, in s"),
    Row("soak/cpu", "soak: processor, in cores"),
    Row("soak/statuses", "soak: statuses written per second"),
    Row("soak/queue", "soak: most Releases that waited to be worked on"),
    Row("shards-12000/one", "12,000 idle Releases, one replica: resident memory, in MB"),
    Row("shards-12000/idle", "the same shared out over three replicas: the most memory of one, in MB"),
    Row("shards-12000/memory", "2,000 of them mid-canary, 10 s interval: the most memory of one, in MB"),
    Row("shards-12000/cpu", "the same: the most processor time of one, in cores"),
    Row("shards-12000/failover", "one of the three killed: until every rollout is judged again, in s", 26.0),
    Row("shards-12000/two", "the same: the most memory of the two that are left, in MB"),
)
"""In the order of the report."""
