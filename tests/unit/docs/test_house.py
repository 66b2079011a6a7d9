"""The house's own rules hold in the code, where a linter does not know them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from unit.docs.house import Module, modules
from unit.docs.pages import text_of

pytestmark = pytest.mark.xdist_group("house")  # so that modules are read once

MOST_LINES, MOST_IN_FUNCTION = 400, 50
MOST_LINES_OF_TESTS = 500
"""A table of cases, or the stories of one rule, are read from top to bottom: to part them helps nobody."""

LONGER = {
    "tests/messages/stories.py": (560, "the stories by which each sentence is told, one after the other"),
    "tests/simulation/world.py": (580, "the model of the cluster: its parts act on each other"),
    "tests/unit/engine/test_waits.py": (660, "one story for each wait, in the order of their table"),
    "tests/unit/judge/evidence/test_gate.py": (550, "one judge, from its first look to the last"),
    "tests/unit/judge/evidence/test_latency_quantile.py": (550, "one test of quantiles, and the tables that it is held against"),
    "tests/unit/prometheus/test_connections.py": (550, "what servers may answer, case by case"),
    "tests/unit/prometheus/test_counting.py": (650, "what counters may do, case by case"),
    "tests/unit/prometheus/test_ledger.py": (600, "what counters may do, case by case"),
    "tests/api/test_prometheus_expositions.py": (700, "one table: what each kind of telemetry looks like, and what is made of it"),
    "tests/simulation/world.py World.__init__": (70, "what the model of the cluster begins with"),
    "tests/api/test_crds.py full_status": (60, "a status with every field that there is"),
}
"""What is longer than it should be: up to how many lines, and why. This list may become shorter, and never longer."""


def too_long() -> Iterator[tuple[str, int]]:
    """Yield what is beyond the limits, and how long it is."""
    for module in modules():
        if module.lines > (MOST_LINES_OF_TESTS if module.name.startswith("tests/") else MOST_LINES):
            yield module.name, module.lines
        for function in module.functions:
            if function.lines > MOST_IN_FUNCTION:
                yield f"{module.name} {function.name}", function.lines


def test_modules_and_functions_are_short() -> None:
    """A module has at most 400 lines, one of tests 500, and a function 50; what is longer has a reason, and does not grow."""
    found = dict(too_long())

    assert {name: length for name, length in found.items() if length > LONGER.get(name, (0, ""))[0]} == {}
    assert sorted(set(LONGER) - set(found)) == [], "no longer too long: take it out of the list"
    assert all(name.startswith("tests/") and why for name, (_, why) in LONGER.items())


def test_pages_state_the_limits_that_are_checked() -> None:
    """CONTRIBUTING says what this module checks."""
    text = " ".join(text_of("CONTRIBUTING.md").split())

    assert f"Modules have at most {MOST_LINES} lines, those of tests {MOST_LINES_OF_TESTS}, functions {MOST_IN_FUNCTION}" in text


def silent(module: Module) -> Iterator[str]:
    """Yield the tests of a module that nothing fails, neither in themselves nor in what they call of the same module."""
    loud = {function.name.rpartition(".")[2] for function in module.functions if function.fails}
    while more := {one.name.rpartition(".")[2] for one in module.functions if one.calls & loud} - loud:
        loud |= more
    for function in module.functions:
        name = function.name.rpartition(".")[2]
        if name.startswith("test_") and name not in loud:
            yield f"{module.name} {function.name}"


def test_every_test_can_fail() -> None:
    """A test that asserts nothing, in itself or in a helper beside it, passes whatever the code does."""
    tests = [module for module in modules() if module.name.startswith("tests/") and "/test_" in module.name]

    assert [name for module in tests for name in silent(module)] == []


LEAST_WORDS = 14
"""Fewer than that, the module's own name not counted, say what it is called and not why it is there."""


def test_every_module_says_why_it_is_there() -> None:
    """The docstring of a module of the operator and of the sandbox is a sentence that tells more than its name does."""
    code = [module for module in modules() if module.name.startswith("operator/")]
    first = {module.name: module.said.split("\n\n")[0] for module in code}

    assert [name for name, sentence in first.items() if not sentence.endswith(".")] == []
    assert [module.name for module in code if words_of(module) < LEAST_WORDS] == []


def words_of(module: Module) -> int:
    """How many words its docstring has besides its name and that of its folder."""
    parts = {part for word in module.name.removesuffix(".py").split("/")[-2:] for part in word.strip("_").split("_")}
    return sum(1 for word in module.said.split() if (plain := word.strip("`.,:;()").lower()) and plain not in parts)
