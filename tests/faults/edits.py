"""Edits of specs by chance, one after another: each ends in what it declares or in a refusal that names the field, and back again.

A model keeps what the user has declared and what is wrong with it. After each edit the Release comes to rest: Ready, with what was
declared in force, where nothing is wrong; else Stalled, with a message that names a field that is. A rollout on the way is under
the policy that was declared: the one that the Release follows, with its gates as they are.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Sequence

from e2e import manifests
from e2e.manifests import NAME, POLICY, Json, exact_gate, step
from e2e.story import Given
from faults import runner
from faults.declared import EDITS, Declared, Edit, begins_with, pin, routed, version
from faults.journeys import Journey
from faults.oracle import Oracle, Violation
from faults.place import Grounds, Place, dump
from faults.resting import at_rest
from faults.runner import Result, differences
from tidegate.api.policy import RolloutPolicySpec
from tidegate.cluster.errors import ApiError, Forbidden, Invalid
from tidegate.cluster.resources import CLUSTER_ROLLOUT_POLICIES, RELEASES, ROLLOUT_POLICIES
from tidegate.controller.observe.parsing import stored_status

SEQUENCES = 24
LENGTH = 8
WITHIN = 40.0
"""Seconds in which an edit has to come to rest, a rollout included."""
STORIES: dict[str, tuple[Edit, ...]] = {"pin-let-go": (pin, routed, version)}
"""Edits in an order that has found something, whatever chance does: the Service is pinned, the route is let go, a version comes."""
NAMES = [
    *(f"edits/sequence-{number}/random-edits" for number in range(1, SEQUENCES + 1)),
    *(f"edits/{story}/told-edits" for story in STORIES),
    "edits/refused/invalid-edits",
]
ANYTHING = Journey("edits", Given.an_app, Given.a_release, undone_by=("Superseded", "Reverted", "Deleted"))  # type: ignore[arg-type]
WATCHED = {"somebody-serves", "ready-pods", "ready-endpoints", "held-template"}
"""Invariants that hold whatever is edited while nothing is under way."""


# A sequence.


def edits_of(name: str) -> tuple[random.Random, Sequence[Edit]]:
    """Return the edits that a name stands for, and the chance by which each is made."""
    told = name.split("/")[1]
    chance = random.Random(int(told.rpartition("-")[2]) if told.startswith("sequence-") else told)
    return chance, STORIES.get(told) or [chance.choice(EDITS) for _ in range(LENGTH)]


async def sequence(place: Place, name: str) -> list[Violation]:
    """Make some edits, and then take them all back."""
    (chance, edits), first = edits_of(name), begins_with(_cluster_policy(place))
    await _begin(place, first)
    before, since = at_rest(place), runner.newest(place)
    declared, story, violations = copy.deepcopy(first), list[str](), list[Violation]()
    for edit in edits:
        old = copy.deepcopy(declared)
        story.append(edit(declared, chance))
        if violations := await _declare(place, declared, old, story):
            break
    if not violations:
        violations = await _declare(place, first, declared, [*story, "all is as before"])
    if not violations and not await place.history.until(lambda: _essence(at_rest(place)) == _essence(before), within=20):
        words = "; ".join(differences("", _essence(before), _essence(at_rest(place))))
        violations = [Violation("back-again", f"{words[:1000]} after {story}")]
    instants = Oracle(place, ANYTHING, since=since, holds={}).check()
    return [*violations, *(one for one in instants if one.invariant in WATCHED)]


async def _begin(place: Place, declared: Declared) -> None:
    given = Given(place)
    await given.an_app(replicas=declared.replicas)
    second = manifests.route(f"second.{place.host}")
    second["metadata"]["name"] = "second"
    await place.apply(second)
    await _apply_policies(place, declared)
    await given.a_release()
    await place.rest(0.5)


def _cluster_policy(place: Place) -> str:
    return f"of-{place.namespace}"


async def _apply_policies(place: Place, declared: Declared) -> None:
    for called, spec in declared.policies.items():
        kind, _, name = called.partition("/")
        await place.apply({**manifests.policy(step(100), name=name), "kind": kind, "spec": spec})


async def _declare(place: Place, declared: Declared, old: Declared, story: list[str]) -> list[Violation]:
    """Apply everything as it is declared, and see where the Release comes to rest, and under which policy it was rolled out."""
    since = runner.newest(place)
    await _apply_policies(place, declared)
    body = {**manifests.release(), "spec": declared.release}
    generation = (await place.apply(body))["metadata"]["generation"]
    await place.apply_app(place.app.changed(version=declared.version, replicas=declared.replicas))
    if await place.history.until(lambda: _satisfied(place, declared, generation), within=WITHIN):
        return _under(place, declared, old, since, story)
    told = {one["type"]: (one["status"], one["message"]) for one in place.status.get("conditions", ())}
    words = f"wrong is {sorted(declared.wrong) or 'nothing'}, wanted {declared.wanted} with {declared.replicas}; told: {told}"
    return [Violation("declared-or-refused", f"{words} after {story}")]


def _under(place: Place, declared: Declared, old: Declared, since: int, story: list[str]) -> list[Violation]:
    """See that what was rolled out meanwhile was under the declared policy, or the one before: objects come by several watches."""
    told = [one.object for one in place.recorder.versions("Release", NAME) if one.order > since]
    found = next((rollout for release in reversed(told) if (rollout := stored_status(release).rollout) is not None), None)
    if found is None:
        return []
    for called, one in ((called, one) for called in (declared.followed, old.followed) for one in (declared, old)):
        spec = one.policies.get(called)
        if spec and (found.policy, found.spec) == (called, _read(spec)):
            return []
    words = f"rolled out under {found.policy} {found.spec} and not under {declared.followed} {declared.policy}"
    return [Violation("under-declared-policy", f"{words} after {story}")]


def _read(spec: Json) -> RolloutPolicySpec:
    return RolloutPolicySpec.model_validate(spec)


def _satisfied(place: Place, declared: Declared, generation: int) -> bool:
    if place.status.get("observedGeneration") != generation:
        return False
    if declared.wrong:
        stalled = place.condition("Stalled")
        return stalled.get("status") == "True" and any(name in stalled["message"] for name in declared.wrong)
    deployment = place.history.get("Deployment", NAME) or {"spec": {}}
    return (
        place.condition("Ready").get("status") == "True"
        and not place.status.get("candidate")
        and place.ready(declared.wanted) == declared.replicas == deployment["spec"].get("replicas")
        and len([pod for tag in ("v1", "v2", "v3", "v4") for pod in place.pods(tag)]) == declared.replicas
    )


def _essence(rest: Json) -> Json:
    """Return what has to be as before after all edits were taken back: history may have grown."""
    release = {key: value for key, value in rest["release"].items() if key not in {"last", "rejected"}}
    release["stable"] = {"version": release["stable"]["version"]}
    kept = {key: rest[key] for key in ("deployment", "route", "routeAsWritten", "pods")}
    user = {name: value for name, value in rest["services"].items() if name == NAME}
    return {"release": release, "services": user, **kept}


# Edits that nobody may make.

INVALID: tuple[tuple[str, Json, str], ...] = (
    ("policy", {"steps": [step(50), step(20), step(100)]}, "spec.steps"),
    ("policy", {"steps": [step(50)]}, "spec.steps"),
    ("policy", {"steps": []}, "spec.steps"),
    ("policy", {"steps": [step(101)]}, "spec.steps[0].weight"),
    ("policy", {"steps": [{**step(100), "replicas": "101%"}]}, "spec.steps[0].replicas"),
    ("policy", {"bake": "soon"}, "spec.bake"),
    ("policy", {"progressDeadline": "0s"}, "spec.progressDeadline"),
    ("policy", {"gates": [{"name": "errors", "metric": {"promql": {"canary": "x", "unit": "Ratio"}}}]}, "spec.gates[0]"),
    ("policy", {"gates": [exact_gate(interval="500ms")]}, "spec.gates[0].interval"),
    ("policy", {"gates": [exact_gate(interval="often")]}, "spec.gates[0].interval"),
    ("policy", {"gates": [exact_gate(onNoData={"then": "Shrug"})]}, "spec.gates[0].onNoData.then"),
    ("policy", {"gates": [exact_gate(onNoData={"after": "later"})]}, "spec.gates[0].onNoData.after"),
    ("policy", {"gates": [exact_gate(failureLimit=3, of=2)]}, "spec.gates[0].failureLimit"),
    ("policy", {"gates": [exact_gate(threshold={"min": 2, "max": 1})]}, "spec.gates[0].threshold.min"),
    ("policy", {"gates": [exact_gate(), exact_gate("No Name")]}, "spec.gates[1].name"),
    ("policy", {"gates": [exact_gate(), exact_gate()]}, "spec.gates[1]"),
    ("policy", {"confidence": 2}, "spec.confidence"),
    ("policy", {"scoring": {"pass": 50, "warn": 80}}, "spec.scoring.warn"),
    ("release", {"targetRef": {"name": "No Name"}}, "spec.targetRef.name"),
    ("release", {"targetRef": {"kind": "Job", "name": NAME}}, "spec.targetRef.kind"),
    ("release", {"policyRef": {"kind": "Policy", "name": POLICY}}, "spec.policyRef.kind"),
    ("release", {"traffic": {"gatewayAPI": None}}, "spec.traffic"),
    ("release", {"traffic": {"service": "x" * 60, "gatewayAPI": {"httpRoutes": [{"name": NAME}]}}}, "spec.traffic.service"),
    ("release", {"traffic": {"service": NAME, "gatewayAPI": {"httpRoutes": []}}}, "spec.traffic.gatewayAPI.httpRoutes"),
    ("release", {"images": {"App!": "x"}}, "spec.images"),
    ("release", {"images": {"app": ""}}, "spec.images.app"),
    ("release", {"version": ""}, "spec.version"),
)


async def refused(place: Place) -> list[Violation]:
    """Make edits that are not valid: the API server refuses each, names its field, and nothing changes."""
    await _begin(place, begins_with())
    before = at_rest(place)
    violations = []
    for kind, change, wanted in INVALID:
        path = (ROLLOUT_POLICIES.path(place.namespace, POLICY)) if kind == "policy" else RELEASES.path(place.namespace, NAME)
        try:
            await place.cluster.merge_patch(path, {"spec": change})
        except (Invalid, Forbidden) as refusal:
            told = [refusal.message, *(cause.field for cause in refusal.causes)]
            if not any(wanted in words for words in told):
                violations.append(Violation("refusal-names-field", f"{change}: {told} without {wanted}"))
        else:
            violations.append(Violation("invalid-is-refused", f"{kind} {change} was taken"))
    await place.rest(0.5)
    if at_rest(place) != before:
        violations.append(Violation("refusal-changes-nothing", "; ".join(differences("", before, at_rest(place)))))
    return violations


async def meet(grounds: Grounds, name: str) -> Result:
    """Make the edits of a sequence, by its name, in a place of its own."""
    result, began = Result(name, hits=1), time.monotonic()
    try:
        async with grounds.place() as place:
            await place.operator.ready()
            made = refused(place) if "refused" in name else sequence(place, name)
            try:
                result.violations += await made
            finally:
                await place.delete(CLUSTER_ROLLOUT_POLICIES.path(None, _cluster_policy(place)))
            result.violations += [Violation("no-bugs", place.first.bug)] if place.first.bug else []
            result.account = dump(place) if result.violations else ""
    except (ApiError, AssertionError, TimeoutError) as error:
        result.violations.append(Violation("harness", repr(error)[:2000]))
    result.seconds = time.monotonic() - began
    return result
