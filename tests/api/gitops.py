"""What Argo CD and Flux make of objects, by their own libraries, under the recipes that docs/operations.md shows."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tidegate_sandbox import binaries, preflight, toolchain
from unit.docs.pages import blocks, documents

Json = dict[str, Any]
PAGE = "docs/operations.md"


def ask(question: str, **asked: Any) -> Json:
    """Put a question to the libraries: see operator/tidegate_sandbox/gomods/gitops/main.go."""
    try:
        program = binaries.ensure(["gitops"]) / "gitops"
    except (binaries.BuildError, preflight.LackingError, toolchain.ToolchainError) as missing:
        pytest.skip(f"the libraries of Argo CD and Flux are not built: {missing}")
    done = subprocess.run([program, question], input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: Json = json.loads(done.stdout)
    return answer


def application() -> Json:
    """Return the spec of the Argo CD Application in the documentation."""
    return _spec_of("argoproj.io/v1alpha1", "Application", "ignoreDifferences")


def kustomization() -> Json:
    """Return the spec of the Flux Kustomization in the documentation."""
    return _spec_of("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "ignore")


def _spec_of(api_version: str, kind: str, field: str) -> Json:
    of_page = [one for page, one in documents() if page == PAGE and isinstance(one, dict) and one.get("apiVersion") == api_version]
    (spec,) = [one["spec"] for one in of_page if one["kind"] == kind and field in one["spec"]]
    return dict(spec)


def health_script(kind: str) -> str:
    """Return the health check in the documentation by its key in argocd-cm, `<group>_<kind>`."""
    heading = f"-- resource.customizations.health.{kind}\n"
    (script,) = [text for page, text in blocks("lua") if page == PAGE and text.startswith(heading)]
    return script


def health(obj: Json, kind: str) -> str:
    """Return the health that Argo CD gives an object by the documented check."""
    return str(ask("health", object=obj, script=health_script(kind))["status"])


def kstatus(obj: Json) -> str:
    """Return the status that Flux gives an object."""
    return str(ask("status", object=obj)["status"])


def flux_applies(*manifests: Json, ignore: bool = True) -> set[str]:
    """Apply manifests as kustomize-controller does, with the documented rules or without; return what it says to have done."""
    said = ask("apply", objects=list(manifests), ignore=kustomization()["ignore"] if ignore else [])
    return set(said.values())


def argo_sees(live: Json, manifest: Json) -> tuple[Json, Json]:
    """Return the specs of a route in the cluster and in Git as Argo CD compares them under the documented rule."""
    (rule,) = [one for one in application()["ignoreDifferences"] if one["kind"] == live["kind"]]
    seen = ask("normalize", live=live, config=manifest, managers=rule["managedFieldsManagers"])
    return seen["live"]["spec"], seen["config"]["spec"]
