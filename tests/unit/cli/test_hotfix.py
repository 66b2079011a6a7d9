"""`tidegate override` and `tidegate attest`: on which version, and what is refused before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from unit.cli.conftest import Json, Tidegate
from unit.cli.test_decide import CANDIDATE, WANTED, Api, at_once, on

__all__ = ["at_once", "on"]

HOTFIX = {"type": "hotfix"}
DUE = {
    "digest": "sha256:11",
    "version": "v1.2.8",
    "revision": "4c8e7a6b5d",
    "by": "ann",
    "since": "2026-11-30T09:00:00Z",
    "due": "2026-12-01T09:00:00Z",
}


def test_override_is_for_the_hotfix_that_waits(on: Callable[[Api], Tidegate]) -> None:
    """Given a hotfix that waits while another version is rolled out, the Override has the revision and digest of the hotfix."""
    api = Api({"candidate": CANDIDATE, "wanted": WANTED}, spec=HOTFIX)

    done = on(api)("override", "checkout", "--reason", "checkout is down", "--expires", "2h")

    assert 0 == done.exit_code, done.output
    said = {name: api.spec.get(name) for name in ("action", "revision", "digest", "reason", "expires", "by", "role")}
    assert {
        "action": "Override",
        "revision": "6f7d9c4b5c",
        "digest": "sha256:13",
        "reason": "checkout is down",
        "expires": "2h",
        "by": "ann",
        "role": None,
    } == said
    assert f"shop/checkout: overridden v1.3.0 (revision 6f7d9c4b5c) (ReleaseDecision {api.posted[0]})\n" == done.stdout


def test_review_is_of_the_hotfix_that_is_due(on: Callable[[Api], Tidegate]) -> None:
    """Given a hotfix without a review, an attestation is of its content, whatever is rolled out by now."""
    api = Api({"candidate": CANDIDATE, "reviews": [DUE]})
    api.outcomes = [{}, {"outcome": "Counted", "message": "the review of hotfix v1.2.8: Passed"}]

    done = on(api)("attest", "checkout", "--role=architect", "--result=passed", "--url=https://x.example/7", "--wait", "-o", "json")

    assert 0 == done.exit_code, done.output
    said = {name: api.spec.get(name) for name in ("action", "check", "result", "role", "url", "revision", "digest")}
    assert {
        "action": "Attest",
        "check": "review",
        "result": "Passed",
        "role": "architect",
        "url": "https://x.example/7",
        "revision": "4c8e7a6b5d",
        "digest": "sha256:11",
    } == said
    told = json.loads(done.stdout)
    assert ("Attest", "Passed", "Counted", "v1.2.8") == (told["action"], told["result"], told["outcome"], told["version"])


def test_other_checks_are_of_what_waits_or_is_rolled_out(on: Callable[[Api], Tidegate]) -> None:
    """A check of another name is about the version that people see."""
    api = Api({"candidate": CANDIDATE, "reviews": [DUE]})

    done = on(api)("attest", "checkout", "--role=ci", "--check=scan", "--result=Failed")

    assert (0, "5d9f8c7b6d", "scan") == (done.exit_code, api.spec["revision"], api.spec["check"]), done.output
    assert "attested v1.2.9 (revision 5d9f8c7b6d) as ci for check scan: Failed" in done.stdout


@pytest.mark.parametrize(
    ("command", "status", "spec", "words"),
    [
        (("override", "checkout", "--reason=x"), {"candidate": CANDIDATE}, HOTFIX, "no version is waiting"),
        (
            ("override", "checkout", "--reason=x"),
            {"wanted": WANTED},
            {},
            "v1.3.0 is not declared a hotfix, and only hotfixes can be overridden: set spec.type: hotfix in the Release",
        ),
        (
            ("override", "checkout", "--reason=x", "--version=v1.2.9"),
            {"candidate": CANDIDATE, "wanted": WANTED},
            HOTFIX,
            "--version: v1.2.9 is not waiting; there is v1.3.0 (revision 6f7d9c4b5c)",
        ),
        (("override", "checkout", "--reason=x"), {"wanted": {**WANTED, "digest": None}}, HOTFIX, "cannot be overridden"),
        (("override", "checkout"), {"wanted": WANTED}, HOTFIX, "--reason"),
        (("attest", "checkout", "--role=qa", "--result=Passed"), {"wanted": WANTED}, {}, "no hotfix waits for a review"),
        (
            ("attest", "checkout", "--role=qa", "--result=Passed"),
            {"reviews": [DUE, {**DUE, "digest": "sha256:10", "version": "v1.2.7"}]},
            {},
            "v1.2.8 waits for its review and v1.2.7 waits for its review: give --version v1.2.8 or v1.2.7",
        ),
        (("attest", "checkout", "--role=qa", "--result=maybe"), {"reviews": [DUE]}, {}, "maybe"),
        (("attest", "checkout", "--role=qa", "--result=Passed", "--check=scan"), {}, {}, "there is nothing to attest"),
    ],
)
def test_nothing_is_made_of_what_cannot_count(
    on: Callable[[Api], Tidegate], command: tuple[str, ...], status: Json, spec: Json, words: str
) -> None:
    """Each comes with the cure, and nothing is written."""
    api = Api(status, spec=spec)

    done = on(api)(*command)

    assert (2, {}) == (done.exit_code, api.made)
    assert words in done.stderr
