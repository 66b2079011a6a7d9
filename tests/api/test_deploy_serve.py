"""The HTTP API as it is installed: by kustomize and by Helm alike, and without any right."""

from __future__ import annotations

import yaml

from api.manifests import DEPLOY, by_name, comparable, helm, needs_helm, needs_kubectl


@needs_kubectl
@needs_helm
def test_http_api_is_the_same_and_has_no_rights() -> None:
    """The HTTP API is off by default; either way it has an account that nothing is bound to, whose token is in no pod."""
    theirs = helm("--set", "serve.enabled=true,networkPolicy.enabled=true")
    ours = by_name((DEPLOY / "components" / "serve" / "serve.yaml").read_text())

    assert {key for key in theirs if key[1] == "tidegate-serve"} == set(ours)
    for key, found in ours.items():
        assert comparable(found) == comparable(theirs[key]), key
    assert not [key for key in helm() if key[1] == "tidegate-serve"]
    bindings = [found for (kind, _), found in theirs.items() if kind.endswith("Binding") and "subjects" in found]
    assert not [one for binding in bindings for one in binding["subjects"] if one["name"] == "tidegate-serve"]
    pod = ours["Deployment", "tidegate-serve"]["spec"]["template"]["spec"]
    assert (False, "tidegate-serve") == (pod["automountServiceAccountToken"], pod["serviceAccountName"])
    assert [{"name": "whoever-asks", "user": {}}] == yaml.safe_load(ours["ConfigMap", "tidegate-serve"]["data"]["kubeconfig"])[
        "users"
    ]
