"""What a container's process sees: environment and command line."""

import base64
from typing import Any

import pytest

from tidegate_sandbox.node_agent import environment, images

PROGRAM = images.Program(("serve", "--quiet"), ("--port", "8080"), {"LATENCY_MS": "5"})
PLACEMENT = environment.Placement("10.244.0.7", "process-1", "10.244.0.1")
POD = {
    "metadata": {
        "name": "checkout-abc",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "checkout", "example.com/team": "payments"},
        "annotations": {"note": "hello"},
    },
    "spec": {"serviceAccountName": "runner"},
}


def compose(env: list[dict[str, Any]], data: environment.ConfigData | None = None, **container: Any) -> dict[str, str]:
    container = {"image": "registry.example/checkout:v3", "env": env, **container}
    return environment.compose(POD, container, PROGRAM, PLACEMENT, data or environment.ConfigData())


def test_every_container_learns_its_address_and_version():
    """A program can listen on its pod's address and say its version without any env in the manifest."""
    seen = compose([])

    assert seen["POD_IP"] == seen["TIDEGATE_POD_IP"] == "10.244.0.7"
    assert seen["TIDEGATE_IMAGE_TAG"] == "v3"
    assert seen["HOSTNAME"] == "checkout-abc"
    assert seen["LATENCY_MS"] == "5"


def test_the_manifest_wins_over_the_image():
    """A value in the manifest replaces the one that the image brings."""
    assert compose([{"name": "LATENCY_MS", "value": "50"}])["LATENCY_MS"] == "50"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "checkout-abc"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "checkout"),
        ("metadata.labels['example.com/team']", "payments"),
        ("metadata.labels['absent']", ""),
        ("metadata.annotations['note']", "hello"),
        ("spec.nodeName", "process-1"),
        ("spec.serviceAccountName", "runner"),
        ("status.podIP", "10.244.0.7"),
        ("status.hostIP", "10.244.0.1"),
    ],
)
def test_field_references(path: str, value: str):
    """A fieldRef is the pod's own fact; a label that is not there is empty."""
    assert compose([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}])["X"] == value


def test_an_unknown_field_is_a_configuration_error():
    """A path that pods do not offer is named, not guessed."""
    with pytest.raises(environment.ConfigError, match=r"unsupported fieldPath: spec\.replicas"):
        compose([{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.replicas"}}}])


def test_earlier_variables_are_expanded():
    """$(NAME) takes the value of an earlier variable; later, unknown and escaped ones stay as they are."""
    seen = compose(
        [
            {"name": "A", "value": "1"},
            {"name": "B", "value": "$(A)-$(LATER)-$$(A)-$(POD_IP)"},
            {"name": "LATER", "value": "2"},
        ]
    )

    assert seen["B"] == "1-$(LATER)-$(A)-10.244.0.7"


def test_config_maps_and_secrets_by_key():
    """A reference to a key brings its value; an optional one that is missing brings no variable."""
    data = environment.ConfigData({"settings": {"rate": "0.5"}}, {"token": {"value": "s3cret"}})
    optional = {"configMapKeyRef": {"name": "absent", "key": "k", "optional": True}}

    seen = compose(
        [
            {"name": "RATE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "rate"}}},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}},
            {"name": "MAYBE", "valueFrom": optional},
        ],
        data,
    )

    assert (seen["RATE"], seen["TOKEN"]) == ("0.5", "s3cret")
    assert "MAYBE" not in seen


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ({"configMapKeyRef": {"name": "absent", "key": "k"}}, 'configmap "absent" not found'),
        ({"secretKeyRef": {"name": "absent", "key": "k"}}, 'secret "absent" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "k"}}, "couldn't find key k in ConfigMap shop/settings"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "'X': unsupported source"),
    ],
)
def test_what_is_missing_is_named_in_the_kubelets_words(source: dict[str, Any], complaint: str):
    """A missing object or key ends in the kubelet's message for CreateContainerConfigError."""
    with pytest.raises(environment.ConfigError, match=complaint):
        compose([{"name": "X", "valueFrom": source}], environment.ConfigData({"settings": {}}, {}))


def test_whole_objects_with_a_prefix():
    """EnvFrom brings every key of an object, with the prefix before it; an absent one that is not optional is an error."""
    data = environment.ConfigData({"settings": {"A": "1", "B": "2"}}, {})

    seen = compose([], data, envFrom=[{"prefix": "S_", "configMapRef": {"name": "settings"}}])

    assert (seen["S_A"], seen["S_B"]) == ("1", "2")
    with pytest.raises(environment.ConfigError, match='secret "absent" not found'):
        compose([], data, envFrom=[{"secretRef": {"name": "absent"}}])


def test_references_are_collected():
    """The agent reads exactly the objects that the container refers to."""
    container = {
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "token", "key": "k"}}}, {"name": "B", "value": "1"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
    }

    wanted = environment.references(container)

    assert environment.ConfigReferences(frozenset({"settings"}), frozenset({"token"})) == wanted


def test_secret_data_is_decoded():
    """The data of a Secret is base64 of text."""
    secret = {"metadata": {"name": "token"}, "data": {"k": base64.b64encode(b"value").decode()}}

    assert environment.secret_text(secret) == {"k": "value"}
    with pytest.raises(environment.ConfigError, match="'token' holds malformed data"):
        environment.secret_text({"metadata": {"name": "token"}, "data": {"k": "a"}})


@pytest.mark.parametrize(
    ("container", "arguments"),
    [
        ({}, ["serve", "--quiet", "--port", "8080"]),
        ({"args": ["--port", "$(PORT)"]}, ["serve", "--quiet", "--port", "9000"]),
        ({"command": ["other"]}, ["other"]),
        ({"command": ["other"], "args": ["$(PORT)"]}, ["other", "9000"]),
    ],
)
def test_command_and_args_override_the_image(container: dict[str, Any], arguments: list[str]):
    """Command replaces the image's program with its arguments, args its arguments alone."""
    assert arguments == environment.command_line(container, PROGRAM, {"PORT": "9000"})
