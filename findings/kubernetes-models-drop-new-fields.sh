#!/usr/bin/env bash
# Models of the Python client for Kubernetes lose what they do not know, so that read, change and replace deletes it.
#
# Version:   kubernetes 37.0.2 (Python package; its models are generated for one version of the API).
# Behaviour: a field of an object that a newer API server has, and that the package does not know, is dropped when an answer is
#            made into a model, without an error or a warning. What is written back lacks it: `replace_namespaced_deployment` of
#            what `read_namespaced_deployment` gave would delete it. An object that lacks a field that the package takes for
#            required is refused on reading instead.
# Output:    the lines that this script prints last.
# What to do: patch, or handle raw JSON (`_preload_content=False`); never replace by a model what others own, too.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/env"
"$dir/env/bin/pip" install --quiet --disable-pip-version-check 'kubernetes==37.0.2'
"$dir/env/bin/python" - <<'PYTHON'
import json, sys
from importlib.metadata import version

from kubernetes.client import ApiClient

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop"},
    "spec": {
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "app", "image": "shop:1"}]}},
        "fieldOfANewerKubernetes": {"kept": True},
    },
}


class Answer:
    def __init__(self, document):
        self.data = json.dumps(document)


client = ApiClient()
try:
    model = client.deserialize(Answer(DEPLOYMENT), "V1Deployment")
except TypeError:
    model = client.deserialize(json.dumps(DEPLOYMENT), "V1Deployment", "application/json")
back = client.sanitize_for_serialization(model)
print("kubernetes", version("kubernetes"))
print(f"fields of spec that came:     {sorted(DEPLOYMENT['spec'])}")
print(f"fields of spec that go back:  {sorted(back['spec'])}")
if sorted(back["spec"]) != ["selector", "template"]:
    sys.exit("it is no longer so")
PYTHON
