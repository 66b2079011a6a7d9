"""CONTRIBUTING's recipe for a router holds: the example was made by it, and nothing of a kind stands anywhere else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.traffic.router import Router
from tidegate.traffic.routers import ROUTERS
from unit.docs.pages import ROOT, text_of
from unit.traffic.example_router import ExampleRouter
from unit.traffic.samples import SAMPLES

RECIPE = re.search(r"\*\*A router\.\*\*.*?(?=\n\*\*)", text_of("CONTRIBUTING.md"), re.DOTALL)[0]  # type: ignore[index]
OPERATOR = ROOT / "operator" / "tidegate"
KNOWN = {"api/release.py", "cluster/resources.py"}
"""Where a kind's name may stand but in its router's own module: at the field that names routes, and where these live in the API."""
VERBS = {"get", "list", "watch", "patch"}
every_router = pytest.mark.parametrize("router", ROUTERS, ids=lambda router: router.kind.label)


def code() -> list[str]:
    """Return what the recipe says in code."""
    return re.findall(r"`([^`]+)`", RECIPE)


def step(number: int) -> str:
    """Return a step of the recipe."""
    found = re.search(rf"^{number}\. (.*?)(?=^\d\. |\n\n)", RECIPE, re.DOTALL | re.MULTILINE)
    assert found is not None, f"the recipe has no step {number}"
    return " ".join(found[1].split())


@every_router
def test_kind_stands_in_three_files(router: type[Router]) -> None:
    """What is said of a kind by its name is said in its router, in the field that names it, and in the list of the API's kinds."""
    word = re.compile(rf"\b{router.kind.label}s?\b")
    own = Path(inspect.getfile(router)).relative_to(OPERATOR).as_posix()
    modules = {path.relative_to(OPERATOR).as_posix(): path.read_text(encoding="utf-8") for path in OPERATOR.rglob("*.py")}

    assert {name for name, text in modules.items() if word.search(text)} <= {own, *KNOWN}


def test_there_are_no_more_steps_under_operator_than_files() -> None:
    """The steps that touch the operator are the first three, and each names one file."""
    paths = [path for path in code() if path.endswith(".py") and not path.startswith("tests/")]

    assert {"traffic/router.py", "traffic/routers.py", "api/release.py"} == set(paths)
    assert all((OPERATOR / path).is_file() for path in paths)


def test_files_of_the_recipe_are_there() -> None:
    """What it names outside of the operator exists."""
    paths = [path for path in code() if path.startswith(("tests/", "deploy/", "docs/"))]

    assert len(paths) > 6
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_router_is_what_the_recipe_says() -> None:
    """The example has the members that step 1 names and no others, and no other member of the protocol is without a body."""
    members = set(re.findall(r"`([a-z_]+)`", step(1)))
    own = {name for name in vars(ExampleRouter) if not name.startswith("_")}
    bare = {name for name, member in inspect.getmembers(Router, inspect.isfunction) if _is_bare(member)} - {"__init__"}

    assert members == own
    assert members == bare | {"kind", "resource"}
    assert Router in ExampleRouter.__mro__


def _is_bare(member: Any) -> bool:
    """Whether a member of the protocol has nothing but its docstring."""
    return inspect.getsource(member).rstrip().endswith("...")


def test_example_takes_the_tests_of_the_recipe() -> None:
    """Step 4 names where samples stand and what they are put to; the example has one, and both tests go over all of them."""
    names = [path for path in re.findall(r"`(tests/[^`]+)`", step(4)) if "/test_" in path]

    assert ExampleRouter in {sample.router for sample in SAMPLES}
    assert len(names) == 2
    assert all('parametrize("sample", SAMPLES' in text_of(path) for path in names)


def test_example_is_no_part_of_the_operator() -> None:
    """It shows that nothing but the registry has to know a kind: it is not in it, and nothing under operator/ speaks of it."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "operator").rglob("*.py")]

    assert ExampleRouter not in ROUTERS
    assert not any(ExampleRouter.kind.label in text for text in texts)


@every_router
def test_router_has_all_that_the_recipe_names(router: type[Router]) -> None:
    """Steps 3, 5 and 6: the field with its list, the operator's rights, the author's right, and the page."""
    resource, (_, _, field) = router.resource, router.kind.field.split(".")
    release = yaml.safe_load(text_of("crds/releases.yaml"))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    traffic = release["spec"]["properties"]["traffic"]
    roles = [one for one in yaml.safe_load_all(text_of("deploy/operator/rbac.yaml")) if one and "rules" in one]
    rules = [rule for role in roles for rule in role["rules"] if resource.plural in rule["resources"]]

    assert router.kind.names in traffic["properties"][field]["properties"]
    assert f"has(self.{field})" in str(traffic["x-kubernetes-validations"])
    assert any(VERBS <= set(rule["verbs"]) for rule in rules if resource.group in rule["apiGroups"])
    asked = f"authorizer.group('{resource.group}').resource('{resource.plural}')"
    assert asked in text_of("deploy/admission/deputy.yaml")
    assert router.kind.label in text_of("docs/concepts.md")
