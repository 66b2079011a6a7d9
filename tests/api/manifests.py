"""What kustomize and Helm render, as objects by kind and name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.cluster_access import ROOT, kubectl, run
from tidegate_sandbox import binaries, cache

DEPLOY = ROOT / "deploy"
CHART = ROOT / "charts" / "tidegate"
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the path")


def tool(name: str) -> str:
    """Find a program of the sandbox's group charttools on the path, or where `tidegate-sandbox build charttools` put it."""
    group = binaries.GROUPS["charttools"]
    return shutil.which(name) or str(cache.directory() / f"{group.name}-{group.key}" / "bin" / name)


HELM, KUBECONFORM = tool("helm"), tool("kubeconform")
needs_helm = pytest.mark.skipif(not Path(HELM).exists(), reason="no helm: run `tidegate-sandbox build charttools` once")
needs_kubeconform = pytest.mark.skipif(
    not Path(KUBECONFORM).exists(), reason="no kubeconform: run `tidegate-sandbox build charttools` once"
)

Key = tuple[str, str]


def by_name(text: str) -> dict[Key, dict[str, Any]]:
    """Return rendered objects by kind and name."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    objects = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(documents) == len(objects), "an object is rendered twice"
    return objects


def kustomize(folder: str) -> dict[Key, dict[str, Any]]:
    return by_name(kubectl("kustomize", str(DEPLOY / folder)))


def helm(*options: str) -> dict[Key, dict[str, Any]]:
    return by_name(_helm(*options))


def helm_documents(*options: str) -> list[dict[str, Any]]:
    """Return rendered objects where those of several namespaces may have one name."""
    return [document for document in yaml.safe_load_all(_helm(*options)) if document]


def _helm(*options: str) -> str:
    done = run(HELM, "template", "tidegate", str(CHART), "--namespace", "tidegate-system", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only Helm writes: its labels, its policy for removal, and what restarts a pod after a new configuration."""
    copy: dict[str, Any] = json.loads(json.dumps(found))
    metadata = copy["metadata"]
    for label in ("app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"):
        metadata.get("labels", {}).pop(label, None)
    metadata.get("annotations", {}).pop("helm.sh/resource-policy", None)
    if not metadata.get("annotations", True):
        del metadata["annotations"]
    if copy["kind"] == "Deployment":
        pod = copy["spec"]["template"]
        pod["metadata"].get("annotations", {}).pop("checksum/config", None)
        if not pod["metadata"].get("annotations", True):
            del pod["metadata"]["annotations"]
        for container in pod["spec"]["containers"]:
            container.pop("imagePullPolicy", None)
    if copy["kind"] == "ConfigMap":
        copy["data"] = {name: yaml.safe_load(text) for name, text in copy["data"].items()}
    return copy
