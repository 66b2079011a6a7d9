"""`tidegate approve` and its like: which version is meant, what is written, and what is said of what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.caller import decisions
from tidegate.cli import deciding
from unit.cli.conftest import Json, Server, Tidegate

RELEASES = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releases"
DECISIONS = "/apis/tidegate.dev/v1alpha1/namespaces/shop/releasedecisions"
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
GROUPS = ["qa-team", "system:authenticated"]
WANTED = {"revision": "6f7d9c4b5c", "version": "v1.3.0", "digest": "sha256:13"}
CANDIDATE = {"revision": "5d9f8c7b6d", "version": "v1.2.9", "digest": "sha256:12"}
AT = "2026-11-30T12:00:00Z"
FAILED_CONTRACT = {
    "version": "v1.2.9",
    "revision": "5d9f8c7b6d",
    "digest": "sha256:12",
    "since": AT,
    "over": AT,
    "promoted": True,
} | {"runs": [{"phase": "Contract", "cronJob": "contract", "seconds": 60, "job": "contract-1", "result": "Failed"}]}
"""v1.2.9 was promoted, and what only earlier versions need was not removed."""
REJECTED = [{"revision": "6f7d9c4b5c", "cause": "GateBreached", "at": AT}]


class Api:
    """An API server with one Release, which keeps decisions and says of each what a test has it say.

    Attributes:
        release_spec: of the Release.
        status: of the Release; a list is told one after the other, the last again and again.
        outcomes: what became of decisions, told likewise.
        fails: how many of the next requests to create one are answered with 503, after it was made.
    """

    def __init__(self, *status: Json, spec: Json | None = None) -> None:
        self.release_spec = {"targetRef": {"name": "checkout"}, "policyRef": {"name": "p"}, **(spec or {})}
        self.status, self.outcomes, self.fails = list(status), [{}], 0
        self.made: dict[str, Json] = {}
        self.posted: list[str] = []
        self.reviews = True

    def answer(self, method: str, path: str, _: dict[str, str], body: str) -> tuple[int, Json]:
        if path == REVIEWS:
            return (201, {"status": {"userInfo": {"username": "ann", "groups": GROUPS}}}) if self.reviews else refusal(404, "no")
        if path == f"{RELEASES}/checkout":
            status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
            return 200, {"metadata": {"name": "checkout", "uid": "uid-1"}, "spec": self.release_spec, "status": status}
        if method == "POST" and path == DECISIONS:
            return self._create(json.loads(body))
        if path.startswith(f"{DECISIONS}/"):
            outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
            return 200, {**self.made[path.rpartition("/")[2]], "status": outcome}
        return refusal(404, f"{path} was not found", "NotFound")

    def _create(self, obj: Json) -> tuple[int, Json]:
        name = obj["metadata"]["name"]
        self.posted.append(name)
        if name in self.made:
            return refusal(409, f"{name} already exists", "AlreadyExists")
        self.made[name] = {**obj, "metadata": {**obj["metadata"], "uid": f"uid-of-{name}"}}
        if self.fails:
            self.fails -= 1
            return refusal(503, "away")
        return 201, self.made[name]

    @property
    def spec(self) -> Json:
        """What the one decision says that was made."""
        (made,) = self.made.values()
        spec: Json = made["spec"]
        return spec


def refusal(code: int, message: str, reason: str = "") -> tuple[int, Json]:
    return code, {"kind": "Status", "code": code, "reason": reason, "message": message}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (decisions, deciding):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)


@pytest.fixture
def on(serve: Callable[..., Server], tidegate: Tidegate, tmp_path: Path) -> Callable[[Api], Tidegate]:
    """Run commands against an API server."""

    def start(api: Api) -> Tidegate:
        address = serve(api.answer).address
        file = tmp_path / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "shop"}}],
            "clusters": [{"name": "here", "cluster": {"server": address}}],
            "users": [{"name": "me", "user": {}}],
        }
        file.write_text(json.dumps(config))
        return lambda *arguments, stdin=None: tidegate(*arguments, "--kubeconfig", file, stdin=stdin)

    return start


def test_approval_names_the_version_that_waits(on: Callable[[Api], Tidegate]) -> None:
    """Given a version that waits, the decision has its revision and digest, the Release's uid, and who has typed it."""
    api = Api({"wanted": WANTED})

    done = on(api)("approve", "checkout", "--role", "qa", "--reason", "tested", "--expires", "90m")

    assert 0 == done.exit_code, done.output
    assert {
        "release": "checkout",
        "releaseUID": "uid-1",
        "action": "Approve",
        "role": "qa",
        "revision": "6f7d9c4b5c",
        "digest": "sha256:13",
        "reason": "tested",
        "expires": "1h30m",
        "by": "ann",
        "groups": GROUPS,
    } == api.spec
    assert f"shop/checkout: approved v1.3.0 (revision 6f7d9c4b5c) as qa (ReleaseDecision {api.posted[0]})\n" == done.stdout


def test_lost_answer_makes_no_second_decision(on: Callable[[Api], Tidegate]) -> None:
    """Given an answer that got lost, the next try has the same name, and that it is there is as good as an answer."""
    api = Api({"wanted": WANTED})
    api.fails = 1

    done = on(api)("approve", "checkout", "--role", "qa")

    assert (0, 1) == (done.exit_code, len(api.made))
    assert [api.posted[0]] * 2 == api.posted


def test_api_server_that_stays_away_ends_it(on: Callable[[Api], Tidegate]) -> None:
    """After a few tries the command says so, and exits with 2."""
    api = Api({"wanted": WANTED})
    api.fails = 100
    keep = api._create

    def away(obj: Json) -> tuple[int, Json]:
        answer = keep(obj)
        api.made.clear()
        return answer

    api._create = away  # type: ignore[method-assign]

    done = on(api)("pause", "checkout")

    assert (2, decisions.TRIES) == (done.exit_code, len(api.posted))
    assert "away" in done.stderr


def test_refusal_is_told_in_the_api_servers_words(on: Callable[[Api], Tidegate]) -> None:
    """Who may not is told what the admission policy has to say."""
    api = Api({"wanted": WANTED})
    api._create = lambda _: refusal(403, "spec.action: ann may not approve Release checkout as qa", "Forbidden")  # type: ignore[method-assign]

    done = on(api)("approve", "checkout", "--role", "qa")

    assert 2 == done.exit_code
    assert "spec.action: ann may not approve Release checkout as qa" in done.stderr


def test_without_reviews_the_name_is_left_to_the_cluster(on: Callable[[Api], Tidegate]) -> None:
    """Given an API server that does not say who asks, the decision is made without a name."""
    api = Api({"wanted": WANTED})
    api.reviews = False

    assert 0 == on(api)("approve", "checkout", "--role", "qa").exit_code
    assert not {"by", "groups"} & api.spec.keys()


@pytest.mark.parametrize(
    ("command", "status", "expected"),
    [
        (("promote", "checkout"), {"candidate": CANDIDATE, "wanted": WANTED}, "5d9f8c7b6d"),
        (("resume", "checkout"), {"candidate": CANDIDATE}, "5d9f8c7b6d"),
        (("retry", "checkout"), {"wanted": WANTED}, "6f7d9c4b5c"),
        (("retry", "checkout"), {"wanted": WANTED, "migration": FAILED_CONTRACT}, None),
        (("retry", "checkout", "--version", "v1.3.0"), {"wanted": WANTED, "migration": FAILED_CONTRACT}, "6f7d9c4b5c"),
        (("retry", "checkout"), {"wanted": WANTED, "migration": FAILED_CONTRACT, "rejected": REJECTED}, "6f7d9c4b5c"),
        (("resume", "checkout"), {"wanted": WANTED, "migration": FAILED_CONTRACT}, "6f7d9c4b5c"),
        (("resume", "checkout"), {}, None),
        (("rollback", "checkout"), {"candidate": CANDIDATE}, None),
        (("pause", "checkout"), {"candidate": CANDIDATE}, None),
        (("reject", "checkout"), {"candidate": CANDIDATE}, "5d9f8c7b6d"),
        (("reject", "checkout", "--version", "v1.3.0"), {"candidate": CANDIDATE, "wanted": WANTED}, "6f7d9c4b5c"),
        (("approve", "checkout", "--role=qa", "--version=5d9f8c7b6d"), {"candidate": CANDIDATE, "wanted": WANTED}, "5d9f8c7b6d"),
    ],
)
def test_version_that_is_meant(on: Callable[[Api], Tidegate], command: tuple[str, ...], status: Json, expected: str | None) -> None:
    """What gives traffic is about the version that was seen; what takes it away is about whichever has it by then."""
    api = Api(status)

    done = on(api)(*command)

    assert 0 == done.exit_code, done.output
    assert expected == api.spec.get("revision")


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("approve", "checkout", "--role=qa"), {}, "no version is waiting or rolled out, so there is nothing to decide on"),
        (
            ("approve", "checkout", "--role=qa"),
            {"candidate": CANDIDATE, "wanted": WANTED},
            "v1.2.9 is rolled out and v1.3.0 waits: give --version v1.2.9 or v1.3.0",
        ),
        (
            ("promote", "checkout", "--version=v1.3.1"),
            {"candidate": CANDIDATE},
            "--version: v1.3.1 is neither waiting nor rolled out; there is v1.2.9 (revision 5d9f8c7b6d)",
        ),
        (
            ("approve", "checkout", "--role=qa"),
            {"wanted": {**WANTED, "digest": None}},
            "the status has no digest of v1.3.0, without which it cannot be approved: wait for the operator",
        ),
        (("promote", "checkout", "--timeout=soon"), {}, "--timeout: 'soon' is not a duration"),
        (("promote", "checkout", "--expires=1d"), {}, "--expires: '1d' is not a duration"),
        (("promote", "ledger"), {}, "was not found"),
    ],
)
def test_nothing_is_made_of_what_cannot_be(
    on: Callable[[Api], Tidegate], command: tuple[str, ...], status: Json, words: str
) -> None:
    """Each comes with the cure, and nothing is written."""
    api = Api(status)

    done = on(api)(*command)

    assert (2, {}) == (done.exit_code, api.made)
    assert words in done.stderr


def test_wait_ends_with_what_became_of_it(on: Callable[[Api], Tidegate]) -> None:
    """A vote that counts ends with 0, and the JSON has what became of it."""
    api = Api({"wanted": WANTED})
    api.outcomes = [{}, {}, {"outcome": "Counted", "message": "a vote of role qa"}]

    done = on(api)("approve", "checkout", "--role", "qa", "--wait", "-o", "json")

    assert 0 == done.exit_code, done.output
    assert {
        "decision": api.posted[0],
        "uid": f"uid-of-{api.posted[0]}",
        "namespace": "shop",
        "release": "checkout",
        "action": "Approve",
        "role": "qa",
        "by": "ann",
        "version": "v1.3.0",
        "revision": "6f7d9c4b5c",
        "digest": "sha256:13",
        "outcome": "Counted",
        "message": "a vote of role qa",
    } == json.loads(done.stdout)


@pytest.mark.parametrize("outcome", ["Refused", "Expired", "Superseded"])
def test_wait_exits_with_1_where_it_does_not_count(on: Callable[[Api], Tidegate], outcome: str) -> None:
    """CI sees by the exit status that nothing was done, and why on stderr."""
    api = Api({"candidate": CANDIDATE})
    api.outcomes = [{"outcome": outcome, "message": "no rollout is in progress"}]

    done = on(api)("promote", "checkout", "--wait")

    assert 1 == done.exit_code
    assert f"does not count ({outcome}): no rollout is in progress" in done.stderr


def last(outcome: str, **more: Any) -> Json:
    ended = {"version": "v1.2.9", "revision": "5d9f8c7b6d", "outcome": outcome, "cause": "GateBreached", "message": "5xx"}
    return {"lastRollout": {**ended, "startedAt": "2026-11-30T09:00:00Z", "finishedAt": "2026-11-30T09:10:00Z"} | more}


ON = {
    "candidate": CANDIDATE,
    "rollout": {"policy": "RolloutPolicy/production", "startedAt": "2026-11-30T09:00:00Z", "spec": {"steps": [{"weight": 100}]}},
}


@pytest.mark.parametrize(
    ("command", "outcome", "code"),
    [("promote", "Promoted", 0), ("promote", "RolledBack", 1), ("rollback", "RolledBack", 0), ("rollback", "Promoted", 1)],
)
def test_wait_goes_on_to_the_end_of_the_rollout(on: Callable[[Api], Tidegate], command: str, outcome: str, code: int) -> None:
    """A promotion is done when the version is promoted, a rollback when it is gone; an end of another kind exits with 1."""
    api = Api(ON, ON, ON, last(outcome))
    api.outcomes = [{"outcome": "CarriedOut"}]

    done = on(api)(command, "checkout", "--wait")

    assert code == done.exit_code, done.output
    if code:
        assert f"the rollout has ended otherwise ({outcome}): 5xx" in done.stderr


def test_wait_is_bounded(on: Callable[[Api], Tidegate]) -> None:
    """An operator that says nothing is waited for as long as was asked."""
    api = Api({"candidate": CANDIDATE})

    done = on(api)("pause", "checkout", "--wait", "--timeout", "1ms")

    assert 2 == done.exit_code
    assert "the operator has not told what became of ReleaseDecision" in done.stderr


def test_namespace_may_stand_before_the_name(on: Callable[[Api], Tidegate]) -> None:
    """`shop/checkout` is the Release checkout of the namespace shop."""
    api = Api({"candidate": CANDIDATE})

    done = on(api)("rollback", "shop/checkout", "--hold", "--to", "v1.2.2", "--namespace", "elsewhere")

    assert 0 == done.exit_code, done.output
    assert ("Rollback", True, "v1.2.2") == (api.spec["action"], api.spec["hold"], api.spec["toVersion"])
