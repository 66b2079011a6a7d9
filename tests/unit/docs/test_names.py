"""The pages name what is there: reasons, metrics, fields, commands, permissions and the words of the operator."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from tidegate.api.gate import BreachAction, NoDataVerdict
from tidegate.api.metric import Measure, Source
from tidegate.api.names import Cause, Condition, EventReason, Phase, Reason
from tidegate.api.release import WorkloadKind
from tidegate.cli.main import app
from tidegate.controller.metrics import Metrics
from tidegate.controller.process import config
from tidegate.controller.process.push_metrics import PushMetrics
from tidegate.controller.process.shard_metrics import ShardMetrics
from tidegate.engine.handover.kinds import HANDOVERS
from tidegate.engine.snapshot import Verb
from tidegate.prometheus.config import TLS, BasicAuth, ConnectionConfig, DirectConfig, FromFile, PushedConfig
from tidegate.prometheus.push.config import PushConfig, PushSender, PushTLS
from unit.docs.pages import BY_HAND, ROOT, text_of

SAID = (
    "waits for a request to resume, promote or roll back",
    "waits for a new template or a request to retry",
    "no rollout is in progress",
    "for the first check of gate",
    "for the operator's own Services to have endpoints",
    "for the Deployment to be scaled up from 0",
    "for pods that were rolled out without Tidegate to stop before a rollout starts",
    "for a first version of the Deployment to become available",
    "for the Deployment to finish its own rolling restart",
    "has no selector, so it cannot be split by version",
    "stable has no data to compare with",
    "any change from zero is beyond a limit in percent",
    " needs a route: give the Release traffic",
    "there is no Prometheus connection",
    "the server refuses the credentials (HTTP",
    "the server redirects to another address",
    "apply crds/ first",
    "the patch does not fit the object any more",
)
"""Words of the operator that people will look for in the pages."""


@pytest.mark.parametrize(
    ("names", "page"),
    [
        (Reason, "docs/troubleshooting.md"),
        (EventReason, "docs/troubleshooting.md"),
        (Cause, "docs/troubleshooting.md"),
        (Phase, "docs/concepts.md"),
        (Condition, "docs/concepts.md"),
        (Verb, "docs/concepts.md"),
        (BreachAction, "docs/concepts.md"),
        (NoDataVerdict, "docs/policies.md"),
        (Source, "docs/policies.md"),
        (Measure, "docs/policies.md"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_name_that_people_meet_is_explained(names: type[StrEnum], page: str) -> None:
    """A reason, phase, cause or verb that shows up in a cluster has a row of its own in the page where people look."""
    first_cells = [line.split("|")[1] for line in text_of(page).splitlines() if line.startswith("| ")]
    rows = {name for cell in first_cells for name in re.findall(r"`([\w-]+)`", cell)}

    assert [name.value for name in names if name.value not in rows] == []


@pytest.mark.parametrize("fragment", SAID)
def test_words_of_the_operator_are_quoted_as_it_says_them(fragment: str) -> None:
    """Who searches the pages for a message finds it, so what the pages quote is what the code says."""
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "operator" / "tidegate").rglob("*.py"))
    # The workload's kind stands in a sentence as its handover calls it.
    code = re.sub(r"\{(?:draft\.handover\.)?kind\}", HANDOVERS[WorkloadKind.DEPLOYMENT].kind, code)

    assert fragment in text_of("docs/troubleshooting.md")
    assert fragment in code


def test_every_metric_is_listed_with_its_labels() -> None:
    """The table of metrics has each metric of the operator, with the labels that it carries."""
    lines = text_of("docs/operations.md").splitlines()
    wrong = []
    for name, collector in _metrics().items():
        rows = [line for line in lines if line.startswith("| `") and f"`{name}`" in line.split("|")[1]]
        labels = {label.strip() for label in rows[0].split("|")[2].split(",") if label.strip()} if rows else None
        if labels != set(collector):
            wrong.append((name, labels))

    assert wrong == []


def _metrics() -> dict[str, tuple[str, ...]]:
    found = {}
    for collector in (*vars(Metrics()).values(), *vars(ShardMetrics(1)).values(), *vars(PushMetrics(CollectorRegistry())).values()):
        described = getattr(collector, "describe", None)
        if described is not None and hasattr(collector, "_labelnames"):
            (family,) = described()
            found[f"{family.name}_total" if family.type == "counter" else family.name] = collector._labelnames
    metrics = Metrics()
    made = (*metrics.delivery.describe(), *metrics.of_releases.describe())
    found |= {family.name: tuple(family._labelnames) for family in made}
    assert len(found) > 10
    return found


def test_no_metric_is_listed_that_there_is_not() -> None:
    """Pages and alerts name only metrics that the operator has."""
    known = set(_metrics())
    histograms = {f"{name}{end}" for name in known for end in ("_bucket", "_count", "_sum")}
    named = {name for page in BY_HAND for name in re.findall(r"\btidegate_[a-z_]+[a-z]\b", page.read_text(encoding="utf-8"))}

    assert named - known - histograms - {"tidegate_sandbox"} == set()


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        (config.Config, ""),
        (config.LeaderElection, "leaderElection."),
        (ConnectionConfig, ""),
        (TLS, "tls."),
        (DirectConfig, "direct."),
        (PushedConfig, "push."),
        (PushConfig, "push."),
        (PushTLS, "push.tls."),
        (PushSender, "push.senders[]."),
        (BasicAuth, None),
        (FromFile, None),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_field_of_the_configuration_is_listed(model: type[BaseModel], prefix: str | None) -> None:
    """The page on running Tidegate has a row for each field, or names it where its parent is described."""
    text = text_of("docs/operations.md")
    names = [str(field.alias or name) for name, field in model.model_fields.items()]

    if prefix is None:
        missing = [name for name in names if name not in text]
    else:
        missing = [name for name in names if f"`{prefix}{name}`" not in text and not re.search(rf"`{name}\.\w+`", text)]
    assert missing == []


def test_every_command_and_option_is_listed() -> None:
    """The command line is described whole."""
    text = text_of("docs/operations.md") + text_of("docs/cli.md")
    group: Any = typer.main.get_command(app)
    missing = []
    context = group.make_context("tidegate", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        missing += [] if f"`tidegate {name}`" in text else [name]
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        missing += [f"{name} {option}" for option in options if option != "--help" and f"`{option}`" not in text]

    assert missing == []


def test_every_resource_that_the_operator_may_use_is_listed() -> None:
    """The table of permissions has each resource of the operator's roles."""
    text = text_of("docs/operations.md")
    roles = [one for one in yaml.safe_load_all(text_of("deploy/operator/rbac.yaml")) if one["kind"] in {"ClusterRole", "Role"}]
    resources = {resource for role in roles for rule in role["rules"] for resource in rule["resources"]}

    assert [resource for resource in sorted(resources) if f"`{resource}`" not in text] == []


def test_make_targets_exist() -> None:
    """`make` is asked only for what the Makefile has."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of("Makefile"), re.MULTILINE))
    commands = re.compile(r"(?:^|`)make ((?:[a-z][a-z-]* ?)+)", re.MULTILINE)
    asked = {target for page in BY_HAND for words in commands.findall(page.read_text(encoding="utf-8")) for target in words.split()}

    assert {"demo", "test"} <= asked
    assert asked - targets == set()
