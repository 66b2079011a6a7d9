"""How long an approval takes to count: from the moment at which it is made to the weight that it lets through."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import Any

import yaml
from bench.scale.fleet import POLICY, Fleet, Name
from bench.scale.place import Place
from bench.scale.progress import say
from bench.scale.spread import Found, percentile

from api.cluster_access import apply
from api.cluster_client_access import api_server, kubeconfig_with
from tidegate.cluster.client import Cluster
from tidegate.cluster.resources import CLUSTER_ROLLOUT_POLICIES, RELEASE_DECISIONS
from tidegate_sandbox.cluster import ClusterInfo
from tidegate_sandbox.controlplane import person_token

VOTER = ROLE = "qa"
"""The person, who is known to the API server by a token of their own; and the role in which they vote."""
APPROVALS: list[dict[str, Any]] = [{"at": "100%", "roles": {ROLE: 1}}]
STEPS: list[dict[str, Any]] = [{"weight": 20, "replicas": "100%", "hold": "1s"}, {"weight": 100}]
"""All pods are there at the first step: what is measured is how long a vote takes to count, not how long pods take to start."""


async def counted(here: Place, fleet: Fleet, *, rounds: int) -> Found:
    """Have every service wait for one approval, and approve one by one, 0.2 to 2 s apart.

    Each approval also sets off the end of a rollout, with all that the cluster then has to do: faster than that two cores are busy
    with these, and what is measured is their queue.

    Args:
        here: where.
        fleet: the services, adopted.
        rounds: how often; the first decisions of a process are in the first.

    Returns:
        `vote p50` and `vote p99`: seconds from just before the decision is sent until the route is seen at 100%.
    """
    await asyncio.to_thread(apply, _rights())
    body = {"spec": {"steps": STEPS, "approvals": APPROVALS, "bake": "1s", "drain": "1s"}}
    await here.cluster.merge_patch(CLUSTER_ROLLOUT_POLICIES.path(None, POLICY), body, manager="author")
    token = person_token(ClusterInfo.from_environment().token, VOTER)
    taken: list[float] = []
    async with api_server(kubeconfig_with(token, here.folder / "voter")) as voter:
        for turn in range(rounds):
            say(f"round {turn + 1} of {rounds}: rolling out")
            await here.mid_canary(fleet, f"v{turn + 2}")
            await here.until("all to wait for an approval", lambda: _wait(here, fleet))
            taken += await _vote_on_all(here, fleet, voter, random.Random(turn))
            await here.until("the end of all rollouts", here.all_are(fleet.names, "Idle"))
            await here.quiet()
    found = Found()
    found["vote p50"], found["vote p99"] = percentile(taken, 0.5), percentile(taken, 0.99)
    found.note("vote p99", f"{len(taken)} approvals, the worst {max(taken):.2f} s")
    return found


async def _vote_on_all(here: Place, fleet: Fleet, voter: Cluster, chance: random.Random) -> list[float]:
    here.gateway.whole.clear()
    here.gateway.lag = 0.0
    await here.operator.begin_profile()
    names, sent = list(fleet.names), dict[Name, float]()
    chance.shuffle(names)
    async with asyncio.TaskGroup() as votes:
        for name in names:
            candidate = here.statuses.of[name]["candidate"]
            sent[name] = time.time()
            votes.create_task(_approve(voter, name, candidate))
            await asyncio.sleep(chance.uniform(0.2, 2.0))
    await here.until(
        "all routes to give the new version all", lambda: all(name in here.gateway.whole for name in names), within=120
    )
    say(f"all approved; the bench's own loop was late by {here.gateway.lag * 1000:.0f} ms at most")
    return [here.gateway.whole[name] - sent[name] for name in names]


async def _approve(voter: Cluster, name: Name, candidate: dict[str, Any]) -> None:
    namespace, release = name
    version = {field: candidate[field] for field in ("revision", "digest")}
    body = {
        "apiVersion": RELEASE_DECISIONS.api_version,
        "kind": RELEASE_DECISIONS.kind,
        "metadata": {"name": f"{release}-{uuid.uuid4()}"},
        "spec": {"release": release, "action": "Approve", "role": ROLE, **version},
    }
    await voter.create(RELEASE_DECISIONS.path(namespace), body, manager="voter")


def _wait(here: Place, fleet: Fleet) -> bool:
    waiting = ((here.statuses.of.get(name) or {}).get("waitingFor") or () for name in fleet.names)
    return all([one["barrier"] for one in of_one] == ["Approval"] for of_one in waiting)


def _rights() -> str:
    """Return what gives the voter the rights of one: to make decisions, and the vote by name, for no wildcard votes."""
    rbac, group, name = "rbac.authorization.k8s.io", RELEASE_DECISIONS.group, {"name": "bench-voter"}
    rules = [
        {"apiGroups": [group], "resources": ["releasedecisions"], "verbs": ["create"]},
        {"apiGroups": [group], "resources": [f"releases/{ROLE}"], "verbs": ["approve"]},
    ]
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": name, "rules": rules}
    bound = {
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", **name},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": VOTER}],
    }
    binding = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": name, **bound}
    return yaml.safe_dump_all([role, binding])
