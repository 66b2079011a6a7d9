"""Edits of specs by chance, one after another: each ends in what it declares or in a refusal that names the field, and back again.

A model keeps what the user has declared and what is wrong with it. After each edit the Release comes to rest: Ready, with what was
declared in force, where nothing is wrong; else Stalled, with a message that names a field that is.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from e2e import manifests
from e2e.manifests import NAME, POLICY, REGISTRY, Json, step
from e2e.story import Given
from faults import runner
from faults.journeys import Journey, at_rest
from faults.oracle import Oracle, Violation
from faults.place import Grounds, Place, dump
from faults.runner import Result, differences
from tidegate.cluster.errors import ApiError, Forbidden, Invalid
from tidegate.cluster.resources import RELEASES, ROLLOUT_POLICIES

SEQUENCES = 16
LENGTH = 6
WITHIN = 40.0
"""Seconds in which an edit has to come to rest, a rollout included."""
NAMES = [f"edits/sequence-{number}/random-edits" for number in range(1, SEQUENCES + 1)] + ["edits/refused/invalid-edits"]
ANYTHING = Journey("edits", Given.an_app, Given.a_release, undone_by=("Superseded", "Reverted", "Deleted"))  # type: ignore[arg-type]
WATCHED = {"somebody-serves", "ready-pods", "ready-endpoints", "held-template"}
"""Invariants that hold whatever is edited while nothing is under way."""


@dataclass
class Declared:
    """What the user has declared.

    Attributes:
        version: the tag in the Deployment.
        replicas: of the Deployment.
        policy: spec of the policy.
        release: spec of the Release.
        wrong: fields of the Release's spec that cannot be satisfied, as messages name them.
    """

    version: str = "v1"
    replicas: int = 2
    policy: Json = field(default_factory=dict)
    release: Json = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> str:
        """The version that is to be in force."""
        image = self.release.get("images", {}).get("app")
        return image.rpartition(":")[2] if image else self.version


Edit = Callable[[Declared, random.Random], str]
"""Changes what is declared; returns in words how."""


def begins_with() -> Declared:
    """Return what is declared at first."""
    policy = manifests.policy(step(50), step(100), drain="0s")["spec"]
    return Declared(policy=policy, release=manifests.release()["spec"])


# The edits.


def version(declared: Declared, chance: random.Random) -> str:
    declared.version = chance.choice([tag for tag in ("v1", "v2", "v3", "v4") if tag != declared.version])
    return f"the Deployment has {declared.version}"


def replicas(declared: Declared, chance: random.Random) -> str:
    declared.replicas = chance.choice([1, 2, 3, 5])
    return f"the Deployment has {declared.replicas} replicas"


def steps(declared: Declared, chance: random.Random) -> str:
    weights = sorted(chance.sample(range(1, 100), chance.randint(0, 3)))
    declared.policy["steps"] = [*(step(weight, chance.choice(["0s", "1s"])) for weight in weights), step(100)]
    if chance.random() < 0.3:
        declared.policy["steps"].insert(0, {**step(0), "replicas": chance.choice([1, "50%", "100%"])})
    return f"the policy has the weights {weights} and 100"


def times(declared: Declared, chance: random.Random) -> str:
    declared.policy |= {"bake": chance.choice(["0s", "1s"]), "drain": chance.choice(["0s", "1s"])}
    return "the policy has other times"


def images(declared: Declared, chance: random.Random) -> str:
    container = chance.choice(["app", "app", "sidecar"])
    declared.release["images"] = {container: f"{REGISTRY}/{NAME}:{chance.choice(['v2', 'v3'])}"}
    declared.wrong.discard("spec.images")
    if container != "app":
        declared.wrong.add("spec.images")
    return f"the Release lays {declared.release['images']} over"


def no_images(declared: Declared, _: random.Random) -> str:
    declared.release.pop("images", None)
    declared.wrong.discard("spec.images")
    return "the Release lays no images over"


def policy_ref(declared: Declared, chance: random.Random) -> str:
    name = chance.choice([POLICY, "missing"])
    declared.release["policyRef"] = {"name": name}
    _note(declared, "spec.policyRef", wrong=name != POLICY)
    return f"the Release follows {name}"


def service(declared: Declared, chance: random.Random) -> str:
    traffic = declared.release.get("traffic")
    if traffic is None:
        return routed(declared, chance)
    traffic["service"] = chance.choice([NAME, "missing"])
    _note(declared, "spec.traffic", wrong=traffic["service"] != NAME or _routes_missing(declared))
    return f"the Release names the Service {traffic['service']}"


def routes(declared: Declared, chance: random.Random) -> str:
    traffic = declared.release.get("traffic")
    if traffic is None:
        return routed(declared, chance)
    names = chance.choice([[NAME], [NAME, "second"], ["second"], [NAME, "missing"]])
    traffic["gatewayAPI"] = {"httpRoutes": [{"name": name} for name in names]}
    _note(declared, "spec.traffic", wrong=traffic["service"] != NAME or _routes_missing(declared))
    return f"the Release names the routes {names}"


def routed(declared: Declared, _: random.Random) -> str:
    if declared.release.pop("traffic", None) is None:
        declared.release["traffic"] = manifests.release()["spec"]["traffic"]
    _note(declared, "spec.traffic", wrong=False)
    return f"the Release has {'a' if 'traffic' in declared.release else 'no'} route"


def pin(declared: Declared, chance: random.Random) -> str:
    if "traffic" not in declared.release:
        routed(declared, chance)
    declared.release["traffic"]["pinService"] = not declared.release["traffic"].get("pinService", False)
    return f"the Service is {'' if declared.release['traffic']['pinService'] else 'not '}pinned"


def target(declared: Declared, chance: random.Random) -> str:
    name = chance.choice([NAME, "missing"])
    declared.release["targetRef"] = {"name": name}
    _note(declared, "spec.targetRef", wrong=name != NAME)
    return f"the Release is about Deployment {name}"


def names(declared: Declared, chance: random.Random) -> str:
    declared.release |= {"version": f"release-{chance.randint(1, 9)}", "environment": chance.choice(["test", "production"])}
    return "the Release has other names"


EDITS: tuple[Edit, ...] = (
    *(version, version, version, replicas, steps, times, images, no_images),
    *(policy_ref, service, routes, routed, pin, target, names),
)


def _routes_missing(declared: Declared) -> bool:
    return any(route["name"] == "missing" for route in declared.release["traffic"]["gatewayAPI"]["httpRoutes"])


def _note(declared: Declared, name: str, *, wrong: bool) -> None:
    declared.wrong.discard(name)
    if wrong:
        declared.wrong.add(name)


# A sequence.


async def sequence(place: Place, seed: int) -> list[Violation]:
    """Make some edits by chance, and then take them all back."""
    chance, first = random.Random(seed), begins_with()
    await _begin(place, first)
    before, since = at_rest(place), runner.newest(place)
    declared, story, violations = copy.deepcopy(first), list[str](), list[Violation]()
    for _ in range(LENGTH):
        story.append(chance.choice(EDITS)(declared, chance))
        if violations := await _declare(place, declared, story):
            break
    if not violations:
        violations = await _declare(place, first, [*story, "all is as before"])
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
    await place.apply(_policy(declared))
    await given.a_release()
    await place.rest(0.5)


def _policy(declared: Declared) -> Json:
    return {**manifests.policy(step(100)), "spec": declared.policy}


async def _declare(place: Place, declared: Declared, story: list[str]) -> list[Violation]:
    """Apply everything as it is declared, and see where the Release comes to rest."""
    await place.apply(_policy(declared))
    body = {**manifests.release(), "spec": declared.release}
    generation = (await place.apply(body))["metadata"]["generation"]
    await place.apply_app(place.app.changed(version=declared.version, replicas=declared.replicas))
    if await place.history.until(lambda: _satisfied(place, declared, generation), within=WITHIN):
        return []
    told = {one["type"]: (one["status"], one["message"]) for one in place.status.get("conditions", ())}
    words = f"wrong is {sorted(declared.wrong) or 'nothing'}, wanted {declared.wanted} with {declared.replicas}; told: {told}"
    return [Violation("declared-or-refused", f"{words} after {story}")]


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
            made = refused(place) if "refused" in name else sequence(place, int(name.split("/")[1].partition("-")[2]))
            result.violations += await made
            result.violations += [Violation("no-bugs", place.first.bug)] if place.first.bug else []
            result.account = dump(place) if result.violations else ""
    except (ApiError, AssertionError, TimeoutError) as error:
        result.violations.append(Violation("harness", repr(error)[:2000]))
    result.seconds = time.monotonic() - began
    return result
