"""Prometheus: scrapes Envoy, and every pod that asks for it.

Gates are judged by what it says: it finds pods by their annotations, and the gateway by its address, as installations do.
"""

from typing import Any

import yaml

from tidegate_sandbox.apiclient import answering
from tidegate_sandbox.cluster import ENVOY_ADMIN_PORT, PROMETHEUS_PORT, ClusterSpec, Layout
from tidegate_sandbox.sandbox import Sandbox


async def start_prometheus(sandbox: Sandbox) -> None:
    """Bring up Prometheus.

    Raises:
        PartError: it did not come up.
    """
    path = sandbox.layout.directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration(sandbox.spec, sandbox.layout), sort_keys=False))
    arguments = [
        f"--config.file={path}",
        f"--storage.tsdb.path={sandbox.layout.directory / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{PROMETHEUS_PORT}",
        # A new pod is scraped a second after it is there, not five.
        "--scrape.discovery-reload-interval=1s",
    ]
    await sandbox.run("prometheus", arguments, answering(f"http://127.0.0.1:{PROMETHEUS_PORT}/-/ready"))


def configuration(spec: ClusterSpec, layout: Layout) -> dict[str, Any]:
    """Return the configuration of Prometheus.

    Pods are scraped that carry the annotation ``prometheus.io/scrape: "true"``, on the port of ``prometheus.io/port``
    (by default each declared container port) and the path of ``prometheus.io/path`` (by default ``/metrics``). Their
    samples carry the labels ``namespace``, ``pod``, ``node``, ``pod_template_hash`` and ``app``.
    """
    interval = f"{round(spec.scrape_seconds * 1000)}ms"
    jobs = [_pods(layout)]
    if "gateway" in spec.parts:
        jobs.append(
            {
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{"targets": [f"127.0.0.1:{ENVOY_ADMIN_PORT}"]}],
            }
        )
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": jobs,
    }


def _pods(layout: Layout) -> dict[str, Any]:
    meta = "__meta_kubernetes_pod"
    annotation = f"{meta}_annotation_prometheus_io"
    labels = {
        "namespace": "__meta_kubernetes_namespace",
        "pod": f"{meta}_name",
        "node": f"{meta}_node_name",
        "pod_template_hash": f"{meta}_label_pod_template_hash",
        "app": f"{meta}_label_app",
    }
    return {
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": str(layout.kubeconfig)}],
        "relabel_configs": [
            {"source_labels": [f"{annotation}_scrape"], "regex": "true", "action": "keep"},
            {"source_labels": [f"{meta}_phase"], "regex": "Running", "action": "keep"},
            {"source_labels": [f"{annotation}_path"], "regex": "(.+)", "target_label": "__metrics_path__"},
            {
                "source_labels": ["__address__", f"{annotation}_port"],
                "regex": r"([^:]+)(?::\d+)?;(\d+)",
                "replacement": "$1:$2",
                "target_label": "__address__",
            },
            *({"source_labels": [source], "target_label": label} for label, source in labels.items()),
        ],
    }
