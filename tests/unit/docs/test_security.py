"""The page on security has every right of the operator, with its verbs, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from unit.docs.pages import text_of

Right = tuple[str, str, str, str]
"""Verb, group, resource, name of the object; empty for any."""


def listed(title: str = "The operator's rights") -> Iterator[Right]:
    """Yield the rights of a table."""
    section = text_of("docs/security.md").split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) > 1
    for resources, group, verbs, why, abuse in rows:
        assert why
        assert abuse
        named, _, rest = verbs.partition(";")
        name = "".join(re.findall(r"`([^`]+)`", rest))
        api_group = "" if group == "(core)" else group.strip("`")
        for resource in re.findall(r"`([^`]+)`", resources):
            yield from ((verb.strip(), api_group, resource, name) for verb in named.split(","))


def granted(rules: list[dict[str, Any]]) -> Iterator[Right]:
    """Yield the rights that rules give."""
    for rule in rules:
        for name in rule.get("resourceNames", [""]):
            for group in rule["apiGroups"]:
                yield from ((verb, group, resource, name) for resource in rule["resources"] for verb in rule["verbs"])


def rules_of(text: str) -> list[dict[str, Any]]:
    documents = [one for one in yaml.safe_load_all(text) if one]
    return [rule for one in documents if one["kind"] in {"ClusterRole", "Role"} for rule in one["rules"]]


def test_every_right_stands_in_the_table_and_none_besides() -> None:
    """Each verb on each resource of the operator's roles has a row that says why it is needed and what it could be used for."""
    assert sorted(granted(rules_of(text_of("deploy/operator/rbac.yaml")))) == sorted(listed())


def test_rights_for_flags_stand_in_a_table_of_their_own() -> None:
    """They are an opt-in, and no part of what the operator has otherwise."""
    opted = sorted(granted(rules_of(text_of("deploy/components/flags/rbac.yaml"))))
    assert opted == sorted(listed("With feature flags"))
    assert not {*opted} & {*granted(rules_of(text_of("deploy/operator/rbac.yaml")))}


def test_each_verb_has_its_reason() -> None:
    """Where a resource is written, each writing verb is named in its reason."""
    section = text_of("docs/security.md").split("## The operator's rights\n")[1].split("\n## ")[0]
    missing = []
    for line in section.splitlines():
        if line.startswith("| `"):
            resource, _, verbs, why, _ = [cell.strip() for cell in line.strip("|").split("|")]
            writing = {"create", "patch", "delete"} & {verb.strip() for verb in verbs.partition(";")[0].split(",")}
            missing += [(resource, verb) for verb in writing if verb not in why and len(verbs.split(",")) > 1]

    assert missing == []


def test_chart_gives_the_same_rights() -> None:
    """The rules that the chart puts into a ClusterRole, or into Roles, are those of deploy/."""
    template = text_of("charts/tidegate/templates/_helpers.tpl").split('{{- define "tidegate.rules" -}}')[1].split("{{- end }}")[0]
    documents = [one for one in yaml.safe_load_all(text_of("deploy/operator/rbac.yaml")) if one["metadata"]["name"] == "tidegate"]
    (role,) = (one for one in documents if one["kind"] == "ClusterRole")

    assert role["rules"] == yaml.safe_load(template)
