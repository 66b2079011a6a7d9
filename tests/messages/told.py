"""Sentences as people read them: from stories, from manifests that are wrong, from the pages of the API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml
from typer.testing import CliRunner

from messages import judged
from messages.checked import STORIES as CHECKED
from messages.flagged import STORIES as FLAGGED
from messages.grouped import STORIES as GROUPED
from messages.migrated import STORIES as MIGRATED
from messages.stories import STORIES
from simulation.world import World
from tidegate.api.names import Condition
from tidegate.api.waiting import WaitingFor
from tidegate.cli.main import app
from tidegate.controller.process import config
from tidegate.runtime.errors import Terminal
from unit.engine.test_waits import STORIES as WAITS

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests/corpus/invalid"
MISTAKES = (
    "connections: [{}]",
    "connections: {}",
    "connections: [{name: a, address: 'ftp://x'}]",
    "connections: [{name: a, address: 'http://x?y'}]",
    "connections: [{name: a, address: 'http://me:secret@x'}]",
    "connections: [{name: a, address: 'http://x', adress: y}]",
    "connections: [{name: a, address: 'http://x'}, {name: a, address: 'http://y'}]",
    "connections: [{name: a, address: 'http://x', bearerTokenFile: token}]",
    "connections: [{name: a, address: 'http://x', headers: {Authorization: Bearer x}}]",
    "connections: [{name: a, address: 'http://x', timeout: soon}]",
    "connections: [{name: a, address: 'http://x', basicAuth: {passwordFile: /p}}]",
    "connections: [{name: a, address: 'http://x', tls: {certFile: /c}}]",
    "connections: [{name: a, address: 'http://x', namespaces: ['']}]",
    "connections: [{name: a, address: 'http://x', direct: {bearerTokenFile: /t}}]",
    "connections: [{name: a, address: 'http://x', direct: {stablePods: 0}}]",
    """
connections:
  - {name: a, address: 'http://x', direct: {gateways: [{name: e, source: Istio, namespace: n, selector: {a: b}, port: 1}]}}
""",
    """
connections:
  - {name: a, address: 'http://x', direct: {gateways: [{name: e, source: Envoy, namespace: n, selector: {a: 'b,c'}, port: 1}]}}
""",
    "connections: [{name: a, address: 'http://x', push: {}}]",
    "push: {senders: []}",
    "push: {senders: [{name: a, namespaces: [b], tokenFile: /t}]}",
    "push: {plainHttp: true, senders: [{name: a, namespaces: [b]}]}",
    "push: {plainHttp: true, senders: [{name: a, namespaces: [b], certificate: c}]}",
    "push: {plainHttp: true, senders: [{name: a, namespaces: [b], tokenFile: /t}, {name: a, namespaces: [b], tokenFile: /u}]}",
    "{shards: 2, push: {plainHttp: true, senders: [{name: a, namespaces: [b], tokenFile: /t}]}}",
    "leaderElection: {leaseDuration: 1500ms}",
    "leaderElection: {leaseDuration: 10s, renewDeadline: 10s}",
    "leaderElection: {retryPeriod: 9s}",
    "budgets: {answerBytes: 3x}",
    "dataPlaneDelays: {contour: 2s}",
    "connections: [",
    "- a",
)


def catalogue() -> dict[str, list[str]]:
    """Return all lines by the name of their file."""
    return {
        "status": _distinct(text for world in _worlds() for text in world.told),
        "waits": [f"{wait.name}: waits {story().words[wait]}" for wait, story in WAITS.items()],
        "cures": _distinct(f"{one.barrier}: {one.how}" for one in _waited_for() if one.how),
        "conditions": _distinct(_conditions()),
        "events": _distinct(f"{notice.reason.value}: {notice.message}" for world in _worlds() for notice in world.notices),
        "verdicts": _distinct(judged.sentences()),
        "explain": _distinct(judged.explanations()),
        "lint": _distinct(_lint()),
        "config": list(_config()),
        "cel": sorted(set(_cel())),
        "admission": list(_admission()),
        "help": list(_help()),
    }


@cache
def _worlds() -> tuple[World, ...]:
    found: list[World] = []
    for story in (*WAITS.values(), *STORIES, *CHECKED, *GROUPED, *MIGRATED, *FLAGGED):
        told = story()
        found += told if isinstance(told, list) else [told]
    return tuple(found)


def _waited_for() -> Iterator[WaitingFor]:
    return (one for world in _worlds() for status in world.told.values() for one in status.waiting_for)


def _distinct(lines: Iterable[str]) -> list[str]:
    """Return the first of those that differ in numbers alone, sorted."""
    found: dict[str, str] = {}
    for line in lines:
        found.setdefault(re.sub(r"[0-9][0-9.,:]*[smh]?|\b(B|Ki|Mi)\b", "#", line), line)
    return sorted(found.values())


def _conditions() -> Iterator[str]:
    for world in _worlds():
        for status in world.told.values():
            for one in status.conditions:
                if one.type == Condition.PROMOTED or one.status == "True":
                    yield f"{one.type} {one.status} {one.reason}: {one.message.replace(status.message, '<message>')}"


def _lint() -> Iterator[str]:
    done = CliRunner().invoke(app, ["lint", str(CORPUS), "-o", "json"], env={"COLUMNS": "120", "TERM": "dumb"})
    for one in json.loads(done.stdout):
        yield f"{one['severity']}: {one['field']}: {one['message']}"
    yield from judged.advice()


def _config() -> Iterator[str]:
    path = ROOT / "build" / "config.yaml"
    path.parent.mkdir(exist_ok=True)
    for text in MISTAKES:
        path.write_text(text, encoding="utf-8")
        try:
            config.load(path)
        except Terminal as error:
            yield str(error).replace(f"{path}: ", "")
        else:
            raise AssertionError(f"is no mistake: {text}")


def _cel() -> Iterator[str]:
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document["kind"] != "CustomResourceDefinition":
                continue
            kind = document["spec"]["names"]["kind"]
            for version in document["spec"]["versions"]:
                yield from (f"{kind} {line}" for line in _rules(version["schema"]["openAPIV3Schema"], ""))


def _rules(schema: dict[str, Any], at: str) -> Iterator[str]:
    yield from (f"{at or '(the object)'}: {rule['message']}" for rule in schema.get("x-kubernetes-validations", ()))
    for name, part in schema.get("properties", {}).items():
        yield from _rules(part, f"{at}.{name}" if at else name)
    for part, mark in ((schema.get("items"), "[]"), (schema.get("additionalProperties"), "{}")):
        if isinstance(part, dict):
            yield from _rules(part, at + mark)


def _admission() -> Iterator[str]:
    found: dict[str, None] = {}
    for path in sorted((ROOT / "deploy").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and document.get("kind") == "ValidatingAdmissionPolicy":
                for one in document["spec"]["validations"]:
                    said = [one["message"], one.get("messageExpression", "")]
                    found |= dict.fromkeys(f"{document['metadata']['name']}: {' '.join(text.split())}" for text in said if text)
    # Of one rule for each of several routes, the first.
    yield from (line for line in found if not re.search(r"routes\[[1-9]\]", line))


def _help() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    context = group.make_context("tidegate", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{name}: {' '.join(str(command.help).split())}"
        told = ((parameter.opts[-1], getattr(parameter, "help", None)) for parameter in command.params)
        yield from (f"{name} {option}: {' '.join(help_.split())}" for option, help_ in told if help_)
