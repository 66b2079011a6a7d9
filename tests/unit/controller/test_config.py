"""The configuration of connections: what is read, and how mistakes are told."""

from datetime import timedelta

import pytest

from tidegate.controller.process import config
from tidegate.prometheus.config import ConnectionConfig
from tidegate.runtime.errors import Terminal

FROM_FILE = "give it as {fromFile: path} (in clear text only Accept, THANOS-TENANT, User-Agent, X-Scope-OrgID)"


@pytest.fixture
def load(tmp_path):
    """Load a text as a file."""

    def load_text(text: str) -> dict[str, ConnectionConfig]:
        path = tmp_path / "connections.yaml"
        path.write_text(text)
        return {one.name: one for one in config.load(path).connections}

    return load_text


@pytest.fixture
def problem(load):
    """Load a text and return what is wrong with it, without the file's name."""

    def load_bad(text: str) -> str:
        with pytest.raises(Terminal) as caught:
            load(text)
        message = str(caught.value)
        assert "connections.yaml: " in message
        return message.split("connections.yaml: ", 1)[1]

    return load_bad


def test_a_connection_needs_a_name_and_an_address(load):
    """Everything else has a default."""
    connections = load("connections: [{name: default, address: 'http://prometheus:9090/'}]")

    assert list(connections) == ["default"]
    assert connections["default"].address == "http://prometheus:9090"
    assert connections["default"].timeout == timedelta(seconds=5)
    assert connections["default"].concurrency == 8
    assert connections["default"].tls.insecure_skip_verify is False


def clusters(text: str) -> str:
    """Return a configuration with another cluster, of which a text says more."""
    return f"clusters: {{west: {{{text}}}}}"


GRANT = "allow: [{from: [production], to: [staging, shop]}]"
FILE = "kubeconfig: /etc/tidegate-clusters/west/kubeconfig"


def test_another_cluster_is_a_file_and_who_may_read_what(tmp_path):
    """The file need not be there yet; what is not allowed is closed, and the namespaces that anybody may read are known."""
    path = tmp_path / "config.yaml"
    path.write_text(clusters(f"{FILE}, {GRANT}"))

    west = config.load(path).clusters["west"]

    assert west.kubeconfig == "/etc/tidegate-clusters/west/kubeconfig"
    assert west.seen == {"staging", "shop"}
    allowed = [(here, there) for here in ("production", "shop") for there in ("staging", "production") if west.allows(here, there)]
    assert allowed == [("production", "staging")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (clusters(FILE), "clusters.west.allow: is required"),
        (clusters(f"{FILE}, allow: []"), "clusters.west.allow: "),
        (clusters(GRANT), "clusters.west.kubeconfig: is required"),
        (clusters(f"kubeconfig: west, {GRANT}"), "clusters.west.kubeconfig: must be the absolute path of a file"),
        (clusters(f"{FILE}, allow: [{{from: [production]}}]"), "clusters.west.allow[0].to: is required"),
        (clusters(f"{FILE}, allow: [{{from: ['*'], to: [staging]}}]"), "clusters.west.allow[0].from[0]: "),
        (clusters(f"{FILE}, {GRANT}, token: x"), "clusters.west.token: "),
        (f"clusters: {{West: {{{FILE}, {GRANT}}}}}", "clusters.West"),
    ],
)
def test_a_mistake_about_another_cluster_is_named(problem, text: str, words: str):
    """By its field, at the start; no wildcard is a namespace."""
    assert problem(text).startswith(words)


def test_everything_can_be_said(load):
    """The whole of it."""
    connections = load("""
connections:
- name: default
  address: http://prometheus:9090
- name: far
  address: https://metrics.example/prometheus
  headers: {X-Scope-OrgID: shop, X-Api-Key: {fromFile: /etc/far/key}}
  basicAuth: {username: tidegate, passwordFile: /etc/far/password}
  tls: {caFile: /etc/far/ca, certFile: /etc/far/crt, keyFile: /etc/far/key, serverName: metrics}
  timeout: 500ms
  concurrency: 2
  namespaces: [shop, bank]
  queries: clusterPolicies
""")

    far = connections["far"]
    assert list(connections) == ["default", "far"]
    assert far.timeout == timedelta(milliseconds=500)
    assert far.basic_auth is not None
    assert far.basic_auth.password_file == "/etc/far/password"
    assert far.tls.server_name == "metrics"
    assert (far.namespaces, far.queries) == (("shop", "bank"), "clusterPolicies")
    assert (connections["default"].namespaces, connections["default"].queries) == (None, "any")


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("{}", "connections[0].name: is required; connections[0].address: is required"),
        ("{name: a, address: 'ftp://x'}", "connections[0].address: must look like http://host:9090 or https://host/path"),
        ("{name: a, address: 'http://x:99999'}", "connections[0].address: must look like http://host:9090 or https://host/path"),
        ("{name: a, address: 'http://[x'}", "connections[0].address: must look like http://host:9090 or https://host/path"),
        ("{name: a, address: 'http://x?y'}", "connections[0].address: must not contain a query (?) or fragment (#)"),
        (
            "{name: a, address: 'http://me:hunter22@x'}",
            "connections[0].address: must not contain user or password: give basicAuth with passwordFile",
        ),
        ("{name: a, address: 'http://x', adress: y}", "connections[0].adress: there is no such field"),
        ("{name: a, address: 'http://x', bearer_token_file: /y}", "connections[0].bearer_token_file: there is no such field"),
        ("{name: a, address: 'http://x', bearerToken: hunter22}", "connections[0].bearerToken: there is no such field"),
        (
            "{name: a, address: 'http://x', bearerTokenFile: token}",
            "connections[0].bearerTokenFile: must be the absolute path of a file",
        ),
        (
            "{name: a, address: 'http://x', headers: {authorization: Bearer hunter22}}",
            f"connections[0]: headers: authorization may be a credential: {FROM_FILE}",
        ),
        (
            "{name: a, address: 'http://x', headers: {X-Gateway-Key: hunter22}}",
            f"connections[0]: headers: X-Gateway-Key may be a credential: {FROM_FILE}",
        ),
        (
            "{name: a, address: 'http://x', headers: {'a b': c}}",
            "connections[0]: headers: 'a b' is not the name of a header",
        ),
        (
            '{name: a, address: "http://x", headers: {X-A: "b\\r\\nX-C: d"}}',
            "connections[0].headers.X-A: must be printable ASCII characters on one line",
        ),
        ("{name: a, address: 'http://x', headers: {X-A: 1}}", "connections[0].headers.X-A: must be text"),
        ("{name: a, address: 'http://x', headers: {X-A: {}}}", "connections[0].headers.X-A.fromFile: is required"),
        (
            "{name: a, address: 'http://x', basicAuth: {passwordFile: /p}}",
            "connections[0].basicAuth: give exactly one of username and usernameFile",
        ),
        (
            "{name: a, address: 'http://x', bearerTokenFile: /t, basicAuth: {username: u, passwordFile: /p}}",
            "connections[0]: give at most one of bearerTokenFile, basicAuth and a header Authorization",
        ),
        (
            "{name: a, address: 'http://x', tls: {certFile: /c}}",
            "connections[0].tls: give both certFile and keyFile, or neither",
        ),
        (
            "{name: a, address: 'http://x', timeout: soon}",
            "connections[0].timeout: 'soon' is not a duration: write for example 30s, 5m or 1h30m",
        ),
        (
            "{name: a, address: 'http://x', namespaces: []}",
            "connections[0].namespaces: must name a namespace; leave it out for all of them",
        ),
        (
            "{name: a, address: 'http://x', namespaces: ['team-*']}",
            "connections[0].namespaces[0]: must match the pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        ),
        (
            "{name: a, address: 'http://x', queries: all}",
            "connections[0].queries: must be one of presets, clusterPolicies or any",
        ),
        ("{name: a, address: 'http://x', concurrency: '8'}", "connections[0].concurrency: must be a whole number"),
    ],
)
def test_mistakes_are_told_by_field_and_cause(problem, connection, expected):
    """A person finds the line, and no secret is in the message."""
    message = problem(f"connections:\n- {connection}\n")

    assert expected == message
    assert "hunter22" not in message


@pytest.mark.parametrize("name", ["X-Scope-OrgID", "x-scope-orgid", "THANOS-TENANT", "Accept", "user-agent"])
def test_headers_that_hold_no_credential_may_be_plain(load, name):
    """A tenant, a format and a name of a program stand in the configuration itself, however they are written."""
    connections = load(f"connections: [{{name: a, address: 'http://x', headers: {{{name}: shop}}}}]")

    assert connections["a"].headers == {name: "shop"}


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "X-Tenant", "Private-Token", "Cookie", "X-Scope-OrgID-2"])
def test_any_other_header_comes_from_a_file(load, problem, name):
    """Of no other header it is known that its value is harmless: it is read from a file, and refused in clear text."""
    message = problem(f"connections: [{{name: a, address: 'http://x', headers: {{{name}: hunter22}}}}]")
    from_file = load(f"connections: [{{name: a, address: 'http://x', headers: {{{name}: {{fromFile: /etc/h}}}}}}]")

    assert message == f"connections[0]: headers: {name} may be a credential: {FROM_FILE}"
    assert "hunter22" not in message
    assert from_file["a"].headers[name].from_file == "/etc/h"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://prometheus.monitoring.svc:9090", True),
        ("HTTP://10.0.0.1", True),
        ("http://localhost.example", True),
        ("http://[2001:db8::1]:9090", True),
        ("https://prometheus.monitoring.svc:9090", False),
        ("http://localhost:9090", False),
        ("http://LOCALHOST:9090", False),
        ("http://prometheus.localhost", False),
        ("http://127.0.0.2:9090", False),
        ("http://[::1]:9090", False),
    ],
)
def test_what_can_be_read_on_its_way(load, address, expected):
    """Plain http to another host can be, https and a connection to the pod itself cannot."""
    assert load(f"connections: [{{name: a, address: '{address}'}}]")["a"].in_clear is expected


def test_delays_of_data_planes(tmp_path):
    """Traefik's is known; what the configuration says of any controller goes before."""
    path = tmp_path / "config.yaml"
    path.write_text("dataPlaneDelays: {example.com/gateway: 30s, traefik.io/gateway-controller: 500ms}")

    assert config.Config().delays == {"traefik.io/gateway-controller": 2.5}
    assert config.load(path).delays == {"example.com/gateway": 30, "traefik.io/gateway-controller": 0.5}


def test_data_planes_that_leave_out_backends_of_weight_0(tmp_path):
    """They are told by the names of their controllers, or told not to be."""
    path = tmp_path / "config.yaml"
    path.write_text("warmWeights: {example.com/gateway: true, gateway.envoyproxy.io/gatewayclass-controller: false}")

    found = {"example.com/gateway": True, "gateway.envoyproxy.io/gatewayclass-controller": False}
    assert (config.Config().warm_weights, config.load(path).warm_weights) == ({}, found)


@pytest.mark.parametrize("timeout", ["0s", "50ms", "2m"])
def test_timeouts_have_bounds(problem, timeout):
    """Neither never nor for ever."""
    message = problem(f"connections: [{{name: a, address: 'http://x', timeout: {timeout}}}]")

    assert message.startswith("connections[0].timeout: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", "must be a map"),
        ("[]", "must be a map"),
        ("connections: {}", "connections: must be a list"),
        ("connection: []", "connection: there is no such field"),
        ("httpPort: 70000", "httpPort: must be at most 65535"),
        ("stepReplicasLimit: -1", "stepReplicasLimit: must be at least 0"),
        ("warmUp: soon", "warmUp: 'soon' is not a duration: write for example 30s, 5m or 1h30m"),
    ],
)
def test_another_document(problem, text, expected):
    """The file has one shape, and a misspelt key is not ignored."""
    assert problem(text) == expected


def test_an_empty_file_is_the_defaults(load):
    """All of it may be left out."""
    assert load("") == {}


def test_a_name_that_is_there_twice(problem):
    """Gates name connections."""
    message = problem("connections: [{name: a, address: 'http://x'}, {name: a, address: 'http://y'}]")

    assert message == "connections: more than one is named a"


def test_all_mistakes_at_once(problem):
    """Not one after the other."""
    message = problem("connections: [{name: a}, {address: 'http://x'}]")

    assert message == "connections[0].address: is required; connections[1].name: is required"


def test_a_syntax_error_is_told_by_its_place(problem):
    """And without the text around it."""
    message = problem("connections:\n- name: a\n  bearerToken: hunter22\n x")

    assert message.startswith("is not YAML (line ")
    assert "line 4, " in message
    assert "hunter22" not in message


def test_text_that_is_none(tmp_path):
    """A binary file by mistake."""
    (tmp_path / "connections.yaml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(Terminal, match="is not UTF-8 text"):
        config.load(tmp_path / "connections.yaml")


def test_a_control_character(problem):
    """YAML allows none."""
    assert problem("connections: \x00") == "is not YAML"


def test_a_file_that_is_not_there(tmp_path):
    """The cause is the system's."""
    with pytest.raises(Terminal, match=r"connections\.yaml: cannot be read: No such file or directory"):
        config.load(tmp_path / "connections.yaml")


def test_budgets(tmp_path):
    """In numbers, and in bytes as Kubernetes writes them."""
    path = tmp_path / "config.yaml"
    path.write_text("budgets: {seriesPerGate: 2000, bytesPerGate: 6Mi, bytes: 268435456}")

    budgets = config.load(path).budgets

    assert (budgets.series_per_gate, budgets.series_per_release) == (2000, 4000)
    assert (budgets.bytes_per_gate, budgets.bytes) == (6 * 2**20, 2**28)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{bytes: 4MB}", "budgets.bytes: must be a number of bytes, such as 4194304, or with a unit, such as 4Mi"),
        ("{bytes: -4Mi}", "budgets.bytes: must be a number of bytes, such as 4194304, or with a unit, such as 4Mi"),
        ("{bytes: 4Ki}", "budgets.bytes: must be at least 65536"),
        ("{answerBytes: 512Ki}", "budgets.answerBytes: must be at least 1048576"),
        ("{seriesPerGate: 0}", "budgets.seriesPerGate: must be at least 1"),
        ("{series: many}", "budgets.series: must be a whole number"),
        ("{seriesPerPod: 1}", "budgets.seriesPerPod: there is no such field"),
    ],
)
def test_mistakes_in_budgets(problem, text, expected):
    """They are told by field and cause."""
    assert expected == problem(f"budgets: {text}")
