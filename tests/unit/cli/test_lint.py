"""`tidegate lint`: what is wrong with manifests, and what will surprise their authors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.cli.conftest import Json, Server, Tidegate

ROOT = Path(__file__).parents[3]
BASE: Json = {"steps": [{"weight": 10, "hold": "10m"}, {"weight": 100}], "bake": "10m"}
ERRORS: Json = {
    "name": "errors",
    "metric": {"preset": {"source": "HTTP", "measure": "ErrorRate"}},
    "versusStable": {"maxIncrease": {"percent": 50}},
}
OWN = 'sum(rate(x_total{pod=~"{{canaryPods}}"}[1m]))'


def policy(tmp_path: Path, *gates: Json, name: str = "p", **spec: Any) -> Path:
    file = tmp_path / f"{name}.yaml"
    document = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "RolloutPolicy",
        "metadata": {"name": name},
        "spec": {**BASE, "gates": list(gates), **spec},
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def gate(**fields: Any) -> Json:
    found = {**ERRORS, **fields}
    return {name: value for name, value in found.items() if value is not None}


def restarts(**fields: Any) -> Json:
    metric = {"preset": {"source": "Kubernetes", "measure": "Restarts"}}
    return gate(metric=metric, versusStable=None, threshold={"max": 1}, judge="Limit", window="5m", **fields)


def promql(canary: str = OWN, **fields: Any) -> Json:
    limit = {} if "versusStable" in fields else {"versusStable": None, "threshold": {"max": 1}}
    metric = {"promql": {"canary": canary, **fields.pop("metric", {})}}
    return gate(**{"metric": metric, "failureLimit": 2, "of": 3, **limit, **fields})


def findings(tidegate: Tidegate, *arguments: object) -> list[tuple[str, str, str]]:
    done = tidegate("lint", *arguments, "-o", "json")
    return [(one["severity"], one["field"], one["message"]) for one in json.loads(done.stdout)]


def test_a_sound_policy_has_nothing_but_notes(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a policy without a flaw, then lint ends with 0, also when it is strict, and says what confidence means for a gate."""
    file = policy(tmp_path, gate(), gate(name="other"))

    done = tidegate("lint", file, "--strict")

    assert 0 == done.exit_code
    assert "spec.confidence: 2 gates share the confidence 0.99: a gate stops at most 1 of 200 healthy versions" in done.stdout
    assert "tidegate: 1 object: 0 errors, 0 warnings\n" == done.stderr


def test_an_error_is_written_like_a_compiler_does(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a misspelt field, then file, line, field and a suggestion stand in one line, and lint ends with 1."""
    file = policy(tmp_path, gate(minSample=50))

    done = tidegate("lint", file)

    assert 1 == done.exit_code
    assert (
        f"{file}:20: error: RolloutPolicy/p: spec.gates[0].minSample: there is no such field: did you mean minSamples?"
        in done.stdout
    )


def test_warnings_count_when_it_is_strict(tidegate: Tidegate, tmp_path: Path) -> None:
    """A warning alone is no failure, unless somebody asks for it to be one."""
    file = policy(tmp_path, gate(failureLimit=2, of=3))

    assert 0 == tidegate("lint", file).exit_code
    assert 1 == tidegate("lint", file, "--strict").exit_code


@pytest.mark.parametrize(
    ("gates", "spec", "field", "words"),
    [
        ((), {}, "spec", "there are no gates"),
        ((gate(onBreach="Warn"),), {}, "spec.gates", "no gate acts"),
        ((gate(failureLimit=2, of=2),), {}, "spec.gates[0].failureLimit", "has no effect with the judge Evidence"),
        ((gate(window="5m"),), {}, "spec.gates[0].window", "has no effect with the judge Evidence"),
        ((gate(judge="Limit", requireProof=True),), {}, "spec.gates[0].requireProof", "has no effect with the judge Limit"),
        ((gate(judge="Limit"),), {}, "spec.gates[0].failureLimit", "a single value beyond the limit is a breach"),
        ((promql(),), {"advanceOnProof": True}, "spec.advanceOnProof", "has no effect: no gate is judged by Evidence"),
        ((promql(minSamples=50),), {}, "spec.gates[0].minSamples", "has no effect without metric.promql.samples"),
        (
            (
                gate(
                    metric={"preset": {"source": "HTTP", "measure": "Availability"}},
                    versusStable=None,
                    threshold={"min": 0.999},
                    judge="Limit",
                ),
            ),
            {},
            "spec.gates[0].minSamples",
            "with fewer than 1,000 requests in the window a single unanswered one is beyond the limit",
        ),
        (
            (restarts(minSamples=5),),
            {},
            "spec.gates[0].minSamples",
            "has no effect: container restarts per pod and hour is measured without",
        ),
        (
            (restarts(),),
            {},
            "spec.gates[0].window",
            "divided by the number of pods: with this limit fewer than 12 pods allow none at all",
        ),
        ((gate(weight=2),), {}, "spec.gates[0].weight", "has no effect without spec.scoring"),
        ((gate(ask=["sre"]),), {}, "spec.gates[0].ask", "only onBreach: Pause waits for a decision"),
        ((gate(onNoData={"after": "1m"}),), {}, "spec.gates[0].onNoData.after", "has no effect with then: Hold"),
        ((gate(activeFor="10s"),), {}, "spec.gates[0].activeFor", "ends before the first check, which is 30s after"),
        ((gate(),), {"steps": [{"weight": 100}]}, "spec.gates[0].versusStable", "stable has no requests to compare with"),
        (
            (gate(),),
            {"steps": [{"weight": 5, "hold": "10s"}, {"weight": 100}]},
            "spec.steps[0].hold",
            "a hold of 10s ends before the first check of every gate; the step waits for that, about 30s",
        ),
        ((gate(),), {"bake": "5s"}, "spec.bake", "ends with the first checks at weight 100"),
        (
            (gate(metric={"errorBudget": {"source": "HTTP", "objective": 0.999}}, versusStable=None, threshold={"max": 1}),),
            {},
            "spec.gates[0].onBreach",
            "an error budget belongs to the whole service",
        ),
        (
            (gate(metric={"counters": {"canary": {"bad": "rate(x[1m])", "total": "y"}, "stable": {"bad": "x", "total": "y"}}}),),
            {},
            "spec.gates[0].metric.counters.canary.bad",
            "rate() is not a raw counter",
        ),
        (
            (promql(versusStable={"maxIncrease": {"points": 1}}, metric={"stable": OWN}),),
            {},
            "spec.gates[0].metric.promql.stable",
            "is the same query as canary",
        ),
        (
            (promql("vector(1)", versusStable={"maxIncrease": {"points": 1}}, metric={"stable": "vector(2)"}),),
            {},
            "spec.gates[0].metric.promql.canary",
            "does not tell the new version from stable",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_will_surprise_is_said(
    tidegate: Tidegate, tmp_path: Path, gates: tuple[Json, ...], spec: Json, field: str, words: str
) -> None:
    """Given what is allowed and does not do what it seems to, then there is a warning at the field."""
    found = findings(tidegate, policy(tmp_path, *gates, **spec))

    assert [] != [one for one in found if one[:2] == ("warning", field) and words in one[2]], found


def test_a_latency_in_percent_says_what_buckets_it_needs(tidegate: Tidegate, tmp_path: Path) -> None:
    """Without a Prometheus nobody knows the buckets, so what they have to be is a note."""
    latency = gate(metric={"preset": {"source": "HTTP", "measure": "Latency"}}, versusStable={"maxIncrease": {"percent": 10}})

    found = findings(tidegate, policy(tmp_path, latency))

    assert ["spec.gates[0].versusStable"] == [field for severity, field, words in found if "at most 1.1 times apart" in words]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("vector({{windov}})", "unknown variable {{windov}}: there are namespace,"),
        ("x{pod=~{{canaryPods}}}", "the variable {{canaryPods}} must stand within double quotes"),
    ],
)
def test_variables_that_do_not_exist_or_fit_are_errors(tidegate: Tidegate, tmp_path: Path, query: str, words: str) -> None:
    """No server is needed to see that a variable is misspelt."""
    (error,) = [one for one in findings(tidegate, policy(tmp_path, promql(query))) if one[0] == "error"]

    assert "spec.gates[0].metric.promql.canary" == error[1]
    assert words in error[2]


def test_a_release_whose_policy_is_not_there_is_noticed(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given a Release and policies, of which none is the one that it names, then that is probably a typing error."""
    policy(tmp_path, gate(), name="production")
    release = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Release",
        "metadata": {"name": "checkout"},
        "spec": {"targetRef": {"name": "checkout"}, "policyRef": {"name": "prodution"}},
    }
    (tmp_path / "release.yaml").write_text(yaml.safe_dump(release))

    found = findings(tidegate, tmp_path)

    message = "there is no RolloutPolicy/prodution in these files, there are: RolloutPolicy/production"
    assert ("warning", "spec.policyRef.name", message) in found


def prometheus(refused: str) -> Callable[[str, str, dict[str, str], str], tuple[int, Json]]:
    """A Prometheus that refuses one query, and has P99 of 180 ms in a bucket from 100 to 250 ms."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        query = parameters["query"]
        if refused and refused in query:
            return 400, {"status": "error", "errorType": "bad_data", "error": "1:5: parse error: unexpected end of input"}
        result: list[Json] = [{"metric": {}, "value": [0, "1"]}]
        if query.startswith("group by (le)"):
            result = [{"metric": {"le": bound}, "value": [0, "1"]} for bound in ("0.1", "0.25", "+Inf")]
        elif query.startswith("histogram_quantile"):
            result = [{"metric": {}, "value": [0, "0.18"]}]
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    return answer


def test_prometheus_says_what_is_wrong_with_a_query(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Given a query that Prometheus does not understand, then lint ends with 1 and quotes it, at the query's field."""
    server = serve(prometheus("bad_total"))
    file = policy(tmp_path, promql("sum(bad_total", samples=None), promql("good_total", name="good"))

    done = tidegate("lint", file, "--prometheus", server.address)

    assert 1 == done.exit_code
    assert "spec.gates[0].metric.promql.canary: Prometheus connection default: Prometheus reports: 1:5: parse error" in done.stdout
    assert "gates[1].metric" not in done.stdout


def test_counters_are_read_by_prometheus_too(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Both counters of both versions are asked, with the variables filled in."""
    server = serve(prometheus("broken"))
    pair = {"bad": 'x_total{pod=~"{{canaryPods}}",result="broken"}', "total": "x_total"}
    file = policy(tmp_path, gate(metric={"counters": {"canary": pair, "stable": {"bad": "x", "total": "y"}}}))

    found = findings(tidegate, file, "--prometheus", server.address)

    assert ["spec.gates[0].metric.counters.canary.bad"] == [field for severity, field, _ in found if severity == "error"]
    assert any('pod=~"lint-canary-[a-z0-9]{5}"' in parameters.get("query", "") for *_, parameters in server.asked)


def test_buckets_that_are_too_coarse_are_a_warning(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Given a histogram whose bucket about P99 is 2.5 times wide, then a limit of 10% gets a warning with the numbers."""
    server = serve(prometheus(""))
    latency = gate(metric={"preset": {"source": "HTTP", "measure": "Latency"}}, versusStable={"maxIncrease": {"percent": 10}})

    found = findings(tidegate, policy(tmp_path, latency), "--prometheus", server.address)

    (message,) = [words for severity, _, words in found if severity == "warning"]
    assert (
        "the P99 latency over all of http_request_duration_seconds is about 180 ms, in the bucket from 100 ms to 250 ms" in message
    )
    assert "2.5 times wide" in message


def labelled(*series: Json) -> Callable[[str, str, dict[str, str], str], tuple[int, Json]]:
    """A Prometheus whose counters have these series, which no condition on a label of bad events matches."""

    def answer(method: str, path: str, parameters: dict[str, str], body: str) -> tuple[int, Json]:
        query = parameters["query"]
        result: list[Json] = [{"metric": {}, "value": [0, "1"]}]
        if query.startswith("topk"):
            result = [{"metric": {"__name__": "x_total", **one}, "value": [0, "1"]} for one in series]
        elif query.startswith("count(") and ("=~" in query or '!=""' in query):
            result = []
        return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}

    return answer


def test_a_label_that_no_series_has_is_a_warning(tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]) -> None:
    """Given counters with `status` where the preset asks for `code`, then lint says so before a rollout does."""
    server = serve(labelled({"status": "200", "pod": "a"}, {"status": "500", "pod": "a"}))
    budget = gate(
        metric={"errorBudget": {"source": "HTTP", "objective": 0.99}}, versusStable=None, threshold={"max": 1}, onBreach="Hold"
    )
    errors = gate(metric={"preset": {"source": "HTTP", "measure": "ErrorRate"}}, name="preset")

    found = findings(tidegate, policy(tmp_path, budget, errors), "--prometheus", server.address)

    message = (
        "bad answers cannot be told from good ones: no series http_requests_total has a known value of the label code; "
        "its series have no label code, but status (200, 500): "
        "use counters of your own (metric.counters), or relabel it to code when it is scraped; every check will be Undecided"
    )
    assert [("warning", f"spec.gates[{number}].metric", message) for number in (0, 1)] == [
        one for one in found if one[0] == "warning"
    ]


def test_a_label_of_ones_own_that_no_series_has_is_a_warning(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    """As far as the queries say which label it is; where they do not, that is a warning of its own."""
    server = serve(labelled({"state": "failed"}))
    pair = {"bad": 'x_total{pod=~"{{canaryPods}}",result="failed"}', "total": 'x_total{pod=~"{{canaryPods}}"}'}
    counters = gate(metric={"counters": {"canary": pair}}, versusStable=None, threshold={"max": 0.01})
    quotient = promql(f"(sum(rate({pair['bad']}[1m])) or vector(0)) / sum(rate({pair['total']}[1m]))", name="quotient")
    unreadable = promql('sum(errors_total{pod=~"{{canaryPods}}"}) or vector(0)', name="unreadable")

    found = findings(tidegate, policy(tmp_path, counters, quotient, unreadable), "--prometheus", server.address)

    words = "bad events cannot be told from good ones: no series x_total has a label result (there are state)"
    warnings = {field: message for severity, field, message in found if severity == "warning"}
    assert words == warnings["spec.gates[0].metric"] == warnings["spec.gates[1].metric"]
    assert "`or vector(0)` counts a missing series as 0 bad events" in warnings["spec.gates[2].metric.promql"]


def test_a_prometheus_that_is_not_there_ends_it(tidegate: Tidegate, tmp_path: Path) -> None:
    """What could not be checked is no success: lint ends with 2 and says whom it asked."""
    done = tidegate("lint", policy(tmp_path, gate()), "--prometheus", "http://127.0.0.1:1")

    assert 2 == done.exit_code
    assert "Prometheus connection default: " in done.stderr
    assert "127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prometheus", "prometheus:9090"], "--prometheus must look like http://host:9090"),
        (["--config", "missing.yaml"], "missing.yaml: cannot be read"),
        (["missing.yaml"], "missing.yaml: cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_be_used_ends_it(tidegate: Tidegate, tmp_path: Path, arguments: list[str], words: str) -> None:
    """Arguments that lead nowhere end lint with 2 and one line."""
    done = tidegate("lint", policy(tmp_path, gate()), *arguments)

    assert 2 == done.exit_code
    assert words in done.stderr


def test_connections_come_from_the_operators_configuration(
    tidegate: Tidegate, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    """Given a configuration, then each gate's query goes to its own connection; one that is not there is named."""
    server = serve(prometheus(""))
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump({"connections": [{"name": "default", "address": server.address}]}))

    assert 0 == tidegate("lint", policy(tmp_path, promql()), "--config", config).exit_code
    done = tidegate("lint", policy(tmp_path, promql(connection="other")), "--config", config)
    assert 2 == done.exit_code
    assert "there is no Prometheus connection other" in done.stderr


def test_the_api_server_has_the_last_word(
    tidegate: Tidegate, tmp_path: Path, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """Given --server, then each object is sent as a dry run, strictly, and what the server refuses is an error at its field."""
    refusal = {
        "kind": "Status",
        "code": 422,
        "reason": "Invalid",
        "message": "is invalid",
        "details": {"causes": [{"reason": "FieldValueInvalid", "field": "spec.gates[0].metric", "message": "not today"}]},
    }
    path = "/apis/tidegate.dev/v1alpha1/namespaces/shop/rolloutpolicies/p"
    server, kubeconfig = cluster({path: (422, refusal)})

    done = tidegate("lint", policy(tmp_path, gate()), "--server", "--kubeconfig", kubeconfig)

    assert 1 == done.exit_code
    assert "error: RolloutPolicy/p: spec.gates[0].metric: refused by the API server: not today" in done.stdout
    expected = {"fieldManager": "tidegate-lint", "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
    assert [("PATCH", path, expected)] == server.asked


def test_an_api_server_that_may_not_be_asked_ends_it(
    tidegate: Tidegate, tmp_path: Path, cluster: Callable[[Json], tuple[Server, Path]]
) -> None:
    """A permission that is missing says nothing about the manifest."""
    path = "/apis/tidegate.dev/v1alpha1/namespaces/shop/rolloutpolicies/p"
    forbidden = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "me cannot patch rolloutpolicies"}
    _, kubeconfig = cluster({path: (403, forbidden)})

    done = tidegate("lint", policy(tmp_path, gate()), "--server", "--kubeconfig", kubeconfig)

    assert 2 == done.exit_code
    assert "me cannot patch rolloutpolicies" in done.stderr


def test_stdin_is_read(tidegate: Tidegate, tmp_path: Path) -> None:
    """`kubectl get ... -o yaml | tidegate lint -` works."""
    done = tidegate("lint", "-", stdin=policy(tmp_path, gate(judge="Guess")).read_text())

    assert 1 == done.exit_code
    assert "stdin:20: error: RolloutPolicy/p: spec.gates[0].judge: must be one of Evidence, Limit, and is Guess" in done.stdout


NINE_TO_FIVE: Json = {"cron": "0 9 * * 1-4", "for": "8h"}


@pytest.mark.parametrize(
    ("windows", "found"),
    [
        pytest.param({"timeZone": "Europe/Berlin", "allow": [NINE_TO_FIVE]}, [], id="sound"),
        pytest.param(
            {"timeZone": "Europe/Berln", "allow": [NINE_TO_FIVE]},
            [
                (
                    "error",
                    "spec.windows.timeZone",
                    "time zone Europe/Berln is not known to the operator: write one of the IANA database, e.g. Europe/Berlin",
                )
            ],
            id="no such zone",
        ),
        pytest.param(
            {"timeZone": "UTC", "allow": [NINE_TO_FIVE], "deny": [{"cron": "0 9 31 2 *", "for": "1h"}]},
            [("error", "spec.windows.deny[0].cron", "'0 9 31 2 *' cannot be read: bad day-of-month")],
            id="no such day",
        ),
        pytest.param(
            {"timeZone": "UTC", "allow": [{"cron": "0 0 */29 2 MON#5", "for": "1h"}]},
            [("error", "spec.windows.allow[0].cron", "'0 0 */29 2 MON#5' never comes: no day fits it")],
            id="a day that never comes",
        ),
        pytest.param(
            {"timeZone": "UTC", "allow": [{"cron": "0 9 * * *", "for": "5m"}]},
            [
                (
                    "note",
                    "spec.windows.allow",
                    (
                        "the holds before weight 100 take 10m, and no window lasts longer than 5m: each rollout waits at a step "
                        "for a later window; during: Start binds the start alone"
                    ),
                )
            ],
            id="shorter than a rollout",
        ),
        pytest.param(
            {"timeZone": "UTC", "allow": [{"cron": "0 9 * * *", "for": "5m"}], "during": "Start"},
            [],
            id="shorter, and bind the start",
        ),
    ],
)
def test_windows_that_keep_rollouts_from_starting_are_told(
    tidegate: Tidegate, tmp_path: Path, windows: Json, found: list[tuple[str, str, str]]
) -> None:
    """What the form of windows does not tell is found before they are applied: they would be shut."""
    file = policy(tmp_path, gate(), windows=windows)

    told = [one for one in findings(tidegate, file) if one[1].startswith("spec.windows")]

    assert found == told


def test_windows_that_never_open_are_a_warning(tidegate: Tidegate, tmp_path: Path) -> None:
    """Given windows of which deny leaves nothing, then no rollout would ever start."""
    denied = [{"cron": "0 8 * * 1-4", "for": "12h"}]
    file = policy(tmp_path, gate(), windows={"timeZone": "UTC", "allow": [NINE_TO_FIVE], "deny": denied})

    (told,) = [one for one in findings(tidegate, file) if one[1].startswith("spec.windows")]

    assert ("warning", "spec.windows") == told[:2]
    assert told[2].startswith("never open before ")
    assert told[2].endswith(": deny covers all that allow has, so no rollout starts")
