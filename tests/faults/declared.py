"""What a user may declare, and edits of it by chance: a model that knows what is to come of each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from e2e import manifests
from e2e.manifests import NAME, POLICY, REGISTRY, Json, exact_gate, step

GATES = ("errors", "latency", "saturation", "throughput")
LIMITS = (0.01, 0.05, 0.5)
"""The most that gates allow: all of it is more than what Prometheus says."""
CLUSTER_LESS = 0.01
"""By how much the confidence of the policy for the whole cluster is less than that of the namespace's own."""


@dataclass
class Declared:
    """What the user has declared.

    Attributes:
        version: the tag in the Deployment.
        replicas: of the Deployment.
        policy: spec of the policy.
        release: spec of the Release.
        cluster_policy: name of the policy for the whole cluster that the Release may follow as well.
        wrong: fields of the Release's spec that cannot be satisfied, as messages name them.
    """

    version: str = "v1"
    replicas: int = 2
    policy: Json = field(default_factory=dict)
    release: Json = field(default_factory=dict)
    cluster_policy: str = "production"
    wrong: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> str:
        """The version that is to be in force."""
        image = self.release.get("images", {}).get("app")
        return image.rpartition(":")[2] if image else self.version

    @property
    def policies(self) -> dict[str, Json]:
        """The specs of both policies, by kind and name: the one for the whole cluster is told by its confidence."""
        confidence = round(self.policy.get("confidence", 0.99) - CLUSTER_LESS, 3)
        return {
            f"RolloutPolicy/{POLICY}": self.policy,
            f"ClusterRolloutPolicy/{self.cluster_policy}": {**self.policy, "confidence": confidence},
        }

    @property
    def followed(self) -> str:
        """Kind and name of the policy that the Release follows."""
        ref = self.release["policyRef"]
        return f"{ref.get('kind', 'RolloutPolicy')}/{ref['name']}"


Edit = Callable[[Declared, random.Random], str]
"""Changes what is declared; returns in words how."""


def begins_with(cluster_policy: str = "production") -> Declared:
    """Return what is declared at first."""
    policy = manifests.policy(step(50), step(100), gates=(exact_gate(), exact_gate("latency")), drain="0s")["spec"]
    return Declared(policy=policy, release=manifests.release()["spec"], cluster_policy=cluster_policy)


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


def gate_comes(declared: Declared, chance: random.Random) -> str:
    there = {gate["name"] for gate in declared.policy["gates"]}
    name = chance.choice([name for name in GATES if name not in there] or [GATES[0]])
    if name in there:
        return limit(declared, chance)
    declared.policy["gates"].append(exact_gate(name, most=chance.choice(LIMITS)))
    return f"the policy has a gate {name}"


def gate_goes(declared: Declared, chance: random.Random) -> str:
    if not declared.policy["gates"]:
        return gate_comes(declared, chance)
    gate = declared.policy["gates"].pop(chance.randrange(len(declared.policy["gates"])))
    return f"the policy has no gate {gate['name']}"


def limit(declared: Declared, chance: random.Random) -> str:
    return _of_a_gate(declared, chance, threshold={"max": chance.choice(LIMITS)})


def interval(declared: Declared, chance: random.Random) -> str:
    return _of_a_gate(declared, chance, interval=chance.choice(["1s", "2s", "1500ms"]))


def on_no_data(declared: Declared, chance: random.Random) -> str:
    then, after = chance.choice(["Hold", "Pass", "Fail"]), chance.choice(["20s", "5m"])
    return _of_a_gate(declared, chance, onNoData={"then": then, "after": after})


def _of_a_gate(declared: Declared, chance: random.Random, **what: Any) -> str:
    if not declared.policy["gates"]:
        return gate_comes(declared, chance)
    gate = chance.choice(declared.policy["gates"])
    gate |= what
    return f"the gate {gate['name']} has {what}"


def deadline(declared: Declared, chance: random.Random) -> str:
    declared.policy["progressDeadline"] = chance.choice(["1m", "2m", "10m"])
    return f"pods get {declared.policy['progressDeadline']}"


def confidence(declared: Declared, chance: random.Random) -> str:
    declared.policy["confidence"] = chance.choice([0.8, 0.95, 0.999])
    return f"the policy has the confidence {declared.policy['confidence']}"


def policy_ref(declared: Declared, chance: random.Random) -> str:
    kind, good = chance.choice([("RolloutPolicy", POLICY), ("ClusterRolloutPolicy", declared.cluster_policy)])
    name = chance.choice([good, good, "missing"])
    declared.release["policyRef"] = {"kind": kind, "name": name}
    _note(declared, "spec.policyRef", wrong=name != good)
    return f"the Release follows {kind} {name}"


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
    *(version, version, version, version, replicas, steps, times, images, no_images),
    *(gate_comes, gate_goes, limit, interval, on_no_data, deadline, confidence),
    *(policy_ref, policy_ref, service, routes, routed, pin, target, names),
)


def _routes_missing(declared: Declared) -> bool:
    return any(route["name"] == "missing" for route in declared.release["traffic"]["gatewayAPI"]["httpRoutes"])


def _note(declared: Declared, name: str, *, wrong: bool) -> None:
    declared.wrong.discard(name)
    if wrong:
        declared.wrong.add(name)
