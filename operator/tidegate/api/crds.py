"""Writes the CustomResourceDefinitions of the group from the models: `python -m tidegate.api.crds [--check] DIR...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from tidegate.api.base import Rule
from tidegate.api.decision import DECISION_RULES, ReleaseDecisionSpec, ReleaseDecisionStatus
from tidegate.api.freeze import FREEZE_RULES, ReleaseFreezeSpec
from tidegate.api.names import GROUP, VERSION
from tidegate.api.policy import POLICY_RULES, RolloutPolicySpec
from tidegate.api.record import RECORD_RULES, ReleaseRecordSpec
from tidegate.api.release import ReleaseSpec
from tidegate.api.schema import Schema, structural_schema, without_defaults, without_rules
from tidegate.api.status import ReleaseStatus

CATEGORY = "tidegate"
HEADER = """\
# Generated from the models in operator/tidegate/api. Do not edit.
# Run: python -m tidegate.api.crds crds charts/tidegate/files/crds
"""


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`.

    Attributes:
        name: heading.
        path: JSON path into the object; it cannot fall back to another one.
        description: for `kubectl explain` and tools.
        type: string, integer, number, boolean or date.
        wide: shown by `-o wide` only.
    """

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Return the column as an item of `additionalPrinterColumns`."""
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            "description": self.description,
            "priority": int(self.wide),
        }


@dataclass(frozen=True)
class Kind:
    """A kind of the group as its CustomResourceDefinition states it.

    Attributes:
        selectable: JSON paths that `--field-selector` may name, served from Kubernetes 1.32.
        as_written: the API server fills nothing into its spec, whose hash would be another one then.
        rules: CEL rules on the whole object; they may name `self.metadata.name`.
    """

    name: str
    plural: str
    short: str
    scope: str
    description: str
    spec: type[BaseModel]
    columns: tuple[Column, ...]
    status: type[BaseModel] | None = None
    rules: tuple[Rule, ...] = ()
    selectable: tuple[str, ...] = ()
    as_written: bool = False

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


AGE = Column("Age", ".metadata.creationTimestamp", "Time since it was created.", "date")
# A column shows the first thing that its path finds: a list of weights cannot be shown.
_POLICY_COLUMNS = (
    Column("First weight", ".spec.steps[0].weight", "Weight of the first step, in percent.", "integer"),
    Column("First hold", ".spec.steps[0].hold", "Least time at the first step."),
    Column("Bake", ".spec.bake", "Time at weight 100 during which stable keeps running."),
    AGE,
    Column("Deadline", ".spec.progressDeadline", "Longest time for pods of the new version to become ready.", wide=True),
    Column("Drain", ".spec.drain", "Least time between taking the weight from pods and stopping them.", wide=True),
)
_RELEASE_COLUMNS = (
    Column("Version", ".status.stable.version", "The version that is in force."),
    Column("Candidate", ".status.candidate.version", "The version that is being rolled out."),
    Column("Phase", ".status.phase", "Where the Release is."),
    Column("Step", ".status.progress", "Number of the step, and how many there are."),
    Column("Weight", ".status.carried", "Share of the traffic that the routes give the new version, in percent.", "integer"),
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the version that is wanted is in force."),
    Column("Message", ".status.message", "What is happening and what it waits for."),
    AGE,
    Column("Target", ".spec.targetRef.name", "The Deployment.", wide=True),
    Column("Policy", ".spec.policyRef.name", "The policy.", wide=True),
    Column("Failing", '.status.gates[?(@.verdict=="Fail")].name', "The first gate that is beyond its limit.", wide=True),
    Column("Last", ".status.lastRollout.outcome", "How the last rollout ended.", wide=True),
)
_FREEZE_COLUMNS = (
    Column("Reason", ".spec.reason", "Why."),
    Column("From", ".spec.from", "From when it counts; empty for since it was created.", "string"),
    Column("Until", ".spec.until", "Until when it counts; empty for until it is deleted.", "string"),
    AGE,
)
_DECISION_COLUMNS = (
    Column("Release", ".spec.release", "The Release that it is about."),
    Column("Action", ".spec.action", "What was decided."),
    Column("Role", ".spec.role", "The role in which it was decided."),
    Column("By", ".spec.by", "Who has decided."),
    Column("Outcome", ".status.outcome", "What became of it."),
    Column("Message", ".status.message", "Why."),
    AGE,
    Column("Revision", ".spec.revision", "The version that it is about.", wide=True),
    Column("Expires", ".spec.expires", "How long it counts.", wide=True),
    Column("Reason", ".spec.reason", "Why, in the words of whoever decided.", wide=True),
)
_RECORD_COLUMNS = (
    Column("Release", ".spec.release", "The Release."),
    Column("Number", ".spec.number", "Its place in the chain of that Release.", "integer"),
    Column("From", ".spec.from.version", "The version that was in force."),
    Column("To", ".spec.to.version", "The version that was rolled out."),
    Column("Type", ".spec.type", "How much the version changes, or hotfix."),
    Column("Outcome", ".spec.outcome", "How the rollout ended."),
    Column("Ended", ".spec.endedAt", "When.", "date"),
    Column("Message", ".spec.message", "Why."),
    Column("Id", ".spec.id", "Its id.", wide=True),
    Column("Environment", ".spec.environment", "Environment of the Release.", wide=True),
    Column("Cause", ".spec.cause", "Why, in one word.", wide=True),
    Column("Hash", ".spec.hash", "Its hash, which the next record has.", wide=True),
)
_NAME_RULE = Rule(
    "size(self.metadata.name) <= 52",
    "must have at most 52 characters: it becomes part of other names and the value of a label",
    ".metadata.name",
)

_AFTER_ITSELF = Rule(
    "!has(self.spec.after) || self.spec.after.all(one, has(one.__namespace__) || has(one.cluster) "
    "|| one.release != self.metadata.name)",
    "a Release cannot wait for itself",
    ".spec.after",
)
_FOLLOW_ITSELF = Rule(
    "!has(self.spec.follow) || has(self.spec.follow.__namespace__) || has(self.spec.follow.cluster) "
    "|| self.spec.follow.release != self.metadata.name",
    "a Release cannot follow itself",
    ".spec.follow",
)
_FOLLOW_OR_IMAGES = Rule(
    "!has(self.spec.follow) || !has(self.spec.images) || size(self.spec.images) == 0",
    "give either follow or images",
    ".spec.follow",
)

KINDS = (
    Kind(
        name="Release",
        plural="releases",
        short="rel",
        scope="Namespaced",
        description=(
            "Release: what is released, through which route, under which policy. There is one per service, and it "
            "stays: each change of the Deployment's template, or of spec.images, is a new version that is rolled out "
            "step by step."
        ),
        spec=ReleaseSpec,
        status=ReleaseStatus,
        columns=_RELEASE_COLUMNS,
        rules=(_NAME_RULE, _AFTER_ITSELF, _FOLLOW_ITSELF, _FOLLOW_OR_IMAGES),
        selectable=(".spec.environment", ".spec.targetRef.name", ".status.phase"),
    ),
    Kind(
        name="RolloutPolicy",
        plural="rolloutpolicies",
        short="rp",
        scope="Namespaced",
        description=(
            "RolloutPolicy: by which steps and under which gates a new version takes over, for Releases of its namespace."
        ),
        spec=RolloutPolicySpec,
        columns=_POLICY_COLUMNS,
        rules=POLICY_RULES,
    ),
    Kind(
        name="ClusterRolloutPolicy",
        plural="clusterrolloutpolicies",
        short="crp",
        scope="Cluster",
        description=(
            "ClusterRolloutPolicy: by which steps and under which gates a new version takes over, for Releases of all namespaces."
        ),
        spec=RolloutPolicySpec,
        columns=_POLICY_COLUMNS,
        rules=POLICY_RULES,
    ),
    Kind(
        name="ReleaseFreeze",
        plural="releasefreezes",
        short="rf",
        scope="Cluster",
        description=(
            "ReleaseFreeze: for some time no new version starts or gets more traffic, in a part of the cluster or all of it. What "
            "takes traffic away goes on: a breach rolls back at once."
        ),
        spec=ReleaseFreezeSpec,
        columns=_FREEZE_COLUMNS,
        rules=FREEZE_RULES,
    ),
    Kind(
        name="ReleaseDecision",
        plural="releasedecisions",
        short="rd",
        scope="Namespaced",
        description=(
            "ReleaseDecision: what one person has decided on a Release, an approval or a command, with the name by which the API "
            "server knows them. It is made once and never changed; a later one withdraws it."
        ),
        spec=ReleaseDecisionSpec,
        status=ReleaseDecisionStatus,
        columns=_DECISION_COLUMNS,
        rules=DECISION_RULES,
        selectable=(".spec.release", ".spec.action", ".status.outcome"),
    ),
    Kind(
        name="ReleaseRecord",
        plural="releaserecords",
        short="rr",
        scope="Namespaced",
        description=(
            "ReleaseRecord: how one rollout went, written once by the operator when it ends. Each has the hash of the one before, "
            "so `tidegate audit verify` finds whatever was changed, left out or moved."
        ),
        spec=ReleaseRecordSpec,
        columns=_RECORD_COLUMNS,
        rules=RECORD_RULES,
        selectable=(".spec.release", ".spec.environment", ".spec.outcome", ".spec.to.version"),
        as_written=True,
    ),
)


def build_schema(kind: Kind) -> Schema:
    """Return the structural schema of a kind's objects."""
    properties: Schema = {
        "apiVersion": {"type": "string", "maxLength": 64, "description": f"{GROUP}/{VERSION}."},
        "kind": {"type": "string", "maxLength": 64, "description": f"{kind.name}."},
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}},
        "spec": without_defaults(structural_schema(kind.spec)) if kind.as_written else structural_schema(kind.spec),
    }
    if kind.status is not None:
        properties["status"] = status = without_defaults(structural_schema(kind.status))
        if (rollout := status["properties"].get("rollout")) is not None:
            rollout["properties"]["spec"] = without_rules(rollout["properties"]["spec"])
            rollout["required"] = [name for name in rollout["required"] if name != "spec"]  # it is packed (`kept`)
    schema: Schema = {"type": "object", "description": kind.description, "required": ["spec"], "properties": properties}
    if kind.rules:
        schema["x-kubernetes-validations"] = [rule.to_wire() for rule in kind.rules]
    return schema


def build_crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": build_schema(kind)},
        "additionalPrinterColumns": [column.to_wire() for column in kind.columns],
    }
    if kind.status is not None:
        version["subresources"] = {"status": {}}
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name, "labels": {"app.kubernetes.io/name": "tidegate"}},
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def render_files() -> dict[str, str]:
    """Return the text of each CustomResourceDefinition by the name of its file."""
    return {f"{kind.plural}.yaml": HEADER + _to_yaml(build_crd(kind)) for kind in KINDS}


def stale_files(folder: Path) -> list[str]:
    """Name the files of the folder that are missing or do not say what the models say."""
    return sorted(
        name
        for name, text in render_files().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    )


class _Dumper(yaml.SafeDumper):
    """Writes shared parts in full: the API server takes no YAML anchors from kubectl, and people do not read them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _to_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with `--check` only compare them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.api.crds", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="folder of the files")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not up to date")
    options = parser.parse_args(arguments)
    for folder in options.folders:
        stale = stale_files(folder)
        if options.check and stale:
            sys.stderr.write(f"not up to date in {folder}: {', '.join(stale)}\n")
            return 1
        folder.mkdir(parents=True, exist_ok=True)
        for name in stale:
            (folder / name).write_text(render_files()[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
