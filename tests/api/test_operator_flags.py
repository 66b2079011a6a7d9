"""Flags and switches on a real API server, with the rights of deploy/components/flags and its policies."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.audit import asked_by
from api.cluster_access import ROOT, kubectl, needs_api, once, run
from api.deciders import CREATE, decision, made
from api.operator_access import NAME, PATIENCE, SYSTEM, Scene, install, scene_in
from api.people import Person, of_role, rights
from api.test_operator_decisions import in_force, policies
from flag_clients import USERS, Clients, is_near
from tidegate.cluster.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, FEATURE_FLAGS, RELEASES

pytestmark = [*needs_api, pytest.mark.xdist_group("operator-decisions")]

Json = dict[str, Any]
OPERATOR = f"system:serviceaccount:{SYSTEM}:tidegate"
GROUP = "tidegate.dev"
ITEMS = [{"name": "feature", "flag": "new-checkout"}, {"name": "payments"}]
BY_CONFIG_MAP = {"configMap": {"name": "shop-flags"}, "items": ITEMS}
MARKED = {"labels": {"tidegate.dev/flags": "true"}}
STEPS = [
    {"weight": 20, "hold": "1s", "flags": [{"name": "feature", "percent": 10}]},
    {"weight": 50, "hold": "1h", "flags": [{"name": "feature", "percent": 50}]},
    {"weight": 100, "flags": [{"name": "feature", "variant": "on"}]},
]


def flag(default: str, **more: Any) -> Json:
    """Return a definition."""
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default} | more


DEFINITIONS = {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {"new-checkout": flag("off"), "payments": flag("on")}}
TEXT = json.dumps(DEFINITIONS, indent=2) + "\n"


def components() -> None:
    """Install the opt-in rights and policies."""
    kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(ROOT / "deploy" / "components" / "flags"))


def feature_flags() -> None:
    """Install the kind of OpenFeature's operator, as far as it is of concern here: its definitions are of any shape."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "featureflags", "singular": "featureflag", "kind": "FeatureFlag", "listKind": "FeatureFlagList"}
    body = {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": FEATURE_FLAGS.qualified},
        "spec": {"group": FEATURE_FLAGS.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }
    kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(body))
    kubectl("wait", "--for=condition=Established", f"crd/{FEATURE_FLAGS.qualified}", "--timeout=60s")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    await asyncio.to_thread(install)
    await asyncio.to_thread(once, "decision-policies", policies)
    await asyncio.to_thread(once, "flag-components", components)
    await asyncio.to_thread(in_force)
    async with scene_in(tmp_path) as scene:
        yield scene


async def config_map(scene: Scene, text: str = TEXT, **metadata: Any) -> None:
    """Create the ConfigMap with the definitions, as its team does: by server-side apply."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-flags", "namespace": scene.namespace} | metadata}
    await scene.admin.apply(body | {"data": {"flags.json": text, "other": "kept"}}, manager="team", force=False)


async def flags(scene: Scene) -> Json:
    """Return the definitions in the ConfigMap."""
    found = await scene.admin.get(CONFIG_MAPS.path(scene.namespace, "shop-flags"))
    text: Json = json.loads(found["data"]["flags.json"])
    return text["flags"]


async def clients(scene: Scene) -> Clients:
    """Return programs that read the ConfigMap as it is."""
    found = await scene.admin.get(CONFIG_MAPS.path(scene.namespace, "shop-flags"))
    return Clients(found["data"]["flags.json"])


async def says(scene: Scene, wanted: Json) -> float:
    """Wait until the ConfigMap defines flags so; return when that was seen."""
    deadline = time.monotonic() + PATIENCE
    while (found := await flags(scene)) != wanted:
        assert time.monotonic() < deadline, (found, await scene.status())
        await asyncio.sleep(0.01)
    return time.monotonic()


async def begun(scene: Scene, spec: Json = BY_CONFIG_MAP, **policy: Any) -> None:
    """Have v1 serve, with flags."""
    await scene.policy(**({"steps": STEPS, "bake": "0s", "drain": "0s"} | policy))
    await scene.deployment()
    await scene.start()
    await scene.release(flags=spec)
    await scene.idle()


def decider(scene: Scene) -> Person:
    """Somebody who may switch and promote."""
    return of_role("oncall", scene.namespace, CREATE, rights(GROUP, "releases", "switch", "promote", "rollback"))


async def switch(scene: Scene, person: Person, to: str, **more: Any) -> Json:
    """Have somebody switch a flag of this very Release, and return the decision."""
    release = await scene.admin.get(RELEASES.path(scene.namespace, NAME))
    said = {"releaseUID": release["metadata"]["uid"], "flag": "payments", "switch": to, **more}
    return await asyncio.to_thread(made, person, decision("Switch", **said))


def fractional(percent: int) -> Json:
    return {"targeting": {"fractional": [["on", percent], ["off", 100 - percent]]}}


async def test_flags_follow_the_steps_and_come_back_after_a_rollback(scene: Scene) -> None:
    """What the team wrote is there byte for byte afterwards, and its next apply meets no conflict; the operator died in between."""
    await config_map(scene, **MARKED)
    await begun(scene)
    await scene.set_image("checkout:v2")
    await says(scene, {"new-checkout": flag("off") | fractional(50), "payments": flag("on")})
    at_50 = (await clients(scene)).having()
    await scene.operator.end(signal.SIGKILL)
    change = {"metadata": {"annotations": {"tidegate.dev/request": "rollback/1"}}}
    await scene.admin.merge_patch(RELEASES.path(scene.namespace, NAME), change, manager="person")
    await scene.start()
    await scene.until(lambda status: status.get("phase") == "RolledBack")
    await says(scene, DEFINITIONS["flags"])

    stored = await scene.admin.get(CONFIG_MAPS.path(scene.namespace, "shop-flags"))
    assert is_near(at_50, 50)
    assert frozenset() == (await clients(scene)).having()
    assert {"flags.json": TEXT, "other": "kept"} == stored["data"]
    await config_map(scene, json.dumps({"flags": {"new-checkout": flag("on")}}), **MARKED)
    told = await scene.events("FlagSet", "FlagPutBack")
    assert {"FlagSet", "FlagPutBack"} <= told.keys()
    asked = {
        (one.verb, one.resource) for one in asked_by(OPERATOR) if one.namespace == scene.namespace and one.resource == "configmaps"
    }
    assert {("get", "configmaps"), ("patch", "configmaps")} == asked


async def test_a_switch_is_in_the_object_within_a_second(scene: Scene, record_property: Any) -> None:
    """With a rollout on, and Prometheus away: off by one decision and back by another; an operator that is new keeps it off."""
    await config_map(scene, **MARKED)
    gate = {
        "name": "errors",
        "metric": {"promql": {"canary": "errors", "unit": "Ratio"}},
        "threshold": {"max": 0.01},
        "interval": "1s",
    }
    steps = [{"weight": 20, "hold": "1h"}, {"weight": 100}]
    await begun(scene, steps=steps, gates=[gate])
    person = await asyncio.to_thread(decider, scene)
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: status.get("weight") == 20)

    off = await switch(scene, person, "Off", reason="disk full")
    began = time.monotonic()
    forced = {"new-checkout": flag("off"), "payments": flag("on", targeting={"if": [True, "off"]})}
    seconds = await says(scene, forced) - began
    record_property("seconds from the answer to the decision until the object has it", round(seconds, 3))
    status = await scene.until(lambda status: bool((status.get("flags") or [{}])[0].get("inForce")))
    await scene.operator.end(signal.SIGKILL)
    await scene.start()
    await scene.until(lambda status: status.get("weight") == 20)
    kept, reads = await flags(scene), await clients(scene)
    back = await switch(scene, person, "Back")
    await says(scene, DEFINITIONS["flags"])

    (entry,) = status["flags"]
    assert ("payments", "off", "oncall") == (entry["name"], entry["forced"], entry["by"])
    assert "flag payments is switched off by oncall" in status["message"]
    assert forced == kept
    assert (frozenset(), False) == (reads.having("payments"), reads.gets(flag="payments"))
    assert frozenset(USERS) == (await clients(scene)).having("payments")
    after = await scene.until(lambda status: not status.get("flags"))
    assert [off["metadata"]["uid"], back["metadata"]["uid"]] == [one["uid"] for one in after["carriedOut"]]
    print(f"\nfrom the answer to the decision until the object has it: {seconds * 1000:.0f} ms")


async def test_a_conflict_is_noticed_where_a_tool_applies_over_a_switch(scene: Scene) -> None:
    """While a flag is switched off, a server-side apply of its owner is refused by the field manager; a forced one is undone."""
    await config_map(scene, **MARKED)
    await begun(scene)
    person = await asyncio.to_thread(decider, scene)
    await switch(scene, person, "Off")
    forced = {"new-checkout": flag("off"), "payments": flag("on", targeting={"if": [True, "off"]})}
    await says(scene, forced)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-flags", "namespace": scene.namespace} | MARKED}
    await scene.admin.apply(body | {"data": {"flags.json": TEXT}}, manager="team", force=True)
    await says(scene, forced)


@pytest.mark.parametrize(
    ("text", "metadata", "why"),
    [
        ("flags:\n  new-checkout: {}\n", MARKED, "cannot be read: the definitions are no JSON (line 1, column 1)"),
        (TEXT, {}, "may not be set by Tidegate: label its ConfigMap with tidegate.dev/flags=true if it may"),
        (json.dumps({"flags": {}}), MARKED, "is not defined there"),
        (None, {}, "was not found: there is no ConfigMap of that name in"),
    ],
)
async def test_a_definition_that_cannot_be_used_is_named_before_the_rollout_starts(
    scene: Scene, text: str | None, metadata: Json, why: str
) -> None:
    """ConfigMap, key and flag; once it is right, the rollout starts by itself."""
    if text is not None:
        await config_map(scene, text, **metadata)
    await begun(scene, steps=[{"weight": 100, "flags": [{"name": "feature", "variant": "on"}]}])
    await scene.set_image("checkout:v2")
    waits = await scene.until(lambda status: why in status.get("message", ""))
    assert f"flag new-checkout (ConfigMap shop-flags, key flags.json), which {why}" in waits["message"]
    assert ["Flag"] == [one["barrier"] for one in waits["waitingFor"]]

    await scene.admin.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shop-flags", "namespace": scene.namespace} | MARKED,
            "data": {"flags.json": TEXT},
        },
        manager="fixer",
        force=True,
    )
    after = await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")
    assert "Promoted" == after["lastRollout"]["outcome"]
    assert flag("on") == (await flags(scene))["new-checkout"]


async def test_feature_flags_of_open_feature_are_set_likewise(scene: Scene) -> None:
    """Where the cluster has the kind: the definitions stand in the object itself."""
    await asyncio.to_thread(once, "feature-flags", feature_flags)
    await scene.create(FEATURE_FLAGS, "shop-flags", metadata=MARKED, spec={"flagSpec": DEFINITIONS})
    await begun(scene, {"featureFlag": {"name": "shop-flags"}, "items": ITEMS}, steps=STEPS[2:])
    person = await asyncio.to_thread(decider, scene)
    await switch(scene, person, "Off")
    await scene.set_image("checkout:v2")
    await scene.until(lambda status: (status.get("lastRollout") or {}).get("version") == "v2")

    path = FEATURE_FLAGS.path(scene.namespace, "shop-flags")
    during = (await scene.admin.get(path))["spec"]["flagSpec"]
    await switch(scene, person, "Back")
    await scene.until(lambda status: not status.get("flags"))
    after = (await scene.admin.get(path))["spec"]["flagSpec"]

    assert {"new-checkout": flag("on"), "payments": flag("on", targeting={"if": [True, "off"]})} == during["flags"]
    assert DEFINITIONS | {"flags": {"new-checkout": flag("on"), "payments": flag("on")}} == after


async def test_the_operator_is_kept_to_what_is_labelled(scene: Scene) -> None:
    """With its rights: neither another ConfigMap nor the label, nor a further key."""
    await config_map(scene, **MARKED)
    plain = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "other", "namespace": scene.namespace},
        "data": {"a": "1"},
    }
    await scene.admin.apply(plain, manager="team", force=False)
    as_operator = ("--as", OPERATOR, "--namespace", scene.namespace)

    def patch(name: str, body: Json) -> str:
        done = run("kubectl", "patch", "configmap", name, *as_operator, "--type=merge", f"--patch={json.dumps(body)}")
        return done.stdout + done.stderr

    assert "does not have the label tidegate.dev/flags=true" in await asyncio.to_thread(patch, "other", {"data": {"a": "2"}})
    assert "changes nothing of a ConfigMap but the values" in await asyncio.to_thread(
        patch, "shop-flags", {"metadata": {"labels": {"tidegate.dev/flags": None}}}
    )
    assert "neither adds nor removes a key" in await asyncio.to_thread(patch, "shop-flags", {"data": {"new": "x"}})
    assert "patched" in await asyncio.to_thread(patch, "shop-flags", {"data": {"other": "changed"}})
