"""What the pages show can be used: manifests, configurations, values, alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.api import crds
from tidegate.api.names import API_VERSION
from tidegate.api.policy import RolloutPolicySpec
from tidegate.controller.process import config
from unit.docs.pages import BY_HAND, documents, text_of, tidegate_objects

KINDS = {kind.name: kind for kind in crds.KINDS}


def unknown_fields(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Name the fields that the schema does not have."""
    if isinstance(value, dict) and "properties" in schema:
        found = []
        for name, child in value.items():
            known = schema["properties"].get(name)
            free = path == ".metadata"
            found += [f"{path}.{name}"] if known is None and not free else unknown_fields(child, known or {}, f"{path}.{name}")
        return found
    if isinstance(value, list) and "items" in schema:
        return [each for index, item in enumerate(value) for each in unknown_fields(item, schema["items"], f"{path}[{index}]")]
    return []


@pytest.mark.parametrize(("page", "manifest"), tidegate_objects(), ids=lambda value: value if isinstance(value, str) else "")
def test_manifests_are_valid(page: str, manifest: dict[str, Any]) -> None:
    """A manifest in a page or in examples/ can be applied: no field is unknown, each value fits."""
    kind = KINDS[manifest["kind"]]

    assert manifest["apiVersion"] == API_VERSION
    assert unknown_fields(manifest, crds.build_schema(kind)) == []
    spec = kind.spec.model_validate(manifest["spec"])
    if isinstance(spec, RolloutPolicySpec):
        weights = [step.weight for step in spec.steps]
        assert weights == sorted(set(weights))
        assert weights[-1] == 100
        assert all(gate.versus_stable or gate.threshold for gate in spec.gates)


def test_an_unknown_field_would_be_noticed() -> None:
    """The check of manifests does find a misspelt field, at any depth."""
    manifest = {"spec": {"steps": [{"weight": 100, "holds": "1m"}], "gate": []}}

    assert unknown_fields(manifest, crds.build_schema(KINDS["RolloutPolicy"])) == [".spec.steps[0].holds", ".spec.gate"]


def test_policies_in_the_pages_are_those_in_the_examples() -> None:
    """A policy that is shown under the name of an example says the same as the example."""
    objects = tidegate_objects()
    examples = {(one["kind"], one["metadata"]["name"]): one for page, one in objects if page.startswith("examples/")}
    shown = [(page, one) for page, one in objects if not page.startswith("examples/")]
    same = [(one["kind"], one["metadata"]["name"]) for _, one in shown if (one["kind"], one["metadata"]["name"]) in examples]

    assert ("RolloutPolicy", "production") in same
    for _, one in shown:
        assert one == examples.get((one["kind"], one["metadata"]["name"]), one)


def test_configurations_in_the_pages_can_be_loaded(tmp_path: Path) -> None:
    """Each example of a configuration file is one that the operator accepts."""
    found = [one for _, one in documents() if isinstance(one, dict) and "connections" in one]
    patched = [yaml.safe_load(value) for _, one in documents() if isinstance(one, dict) for value in _patched(one)]

    assert found
    assert patched
    for each in [*found, *patched]:
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(each), encoding="utf-8")
        assert config.load(file).connections


def _patched(kustomization: dict[str, Any]) -> Iterator[str]:
    for patch in kustomization.get("patches") or ():
        for operation in yaml.safe_load(patch["patch"]):
            if operation["path"] == "/data/config.yaml":
                yield operation["value"]


def test_helm_values_in_the_pages_exist() -> None:
    """Values that the pages set are values of the chart."""
    values = yaml.safe_load(text_of("charts/tidegate/values.yaml"))
    named = [found for page in BY_HAND for found in re.findall(r"--set [\"']?([\w.\[\]]+)=", page.read_text(encoding="utf-8"))]
    named += [name for _, one in documents() if isinstance(one, dict) and "extraVolumes" in one for name in one]

    assert "image.repository" in named
    for name in named:
        node: Any = values
        for part in re.findall(r"\w+", name):
            node = node[int(part)] if part.isdigit() else node[part]


def test_alerts_are_rules_of_prometheus() -> None:
    """The example of alerts has groups of rules, each with an expression on a metric of the operator."""
    (groups,) = [one["groups"] for _, one in documents() if isinstance(one, dict) and "groups" in one]

    for rule in groups[0]["rules"]:
        assert "tidegate_" in rule["expr"]
        assert rule["alert"].startswith("Tidegate")
