"""How a gate has pods read directly: by the operator itself, instead of waiting for Prometheus to scrape them."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule


class Scheme(StrEnum):
    """By what a page of metrics is read."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class Direct(Model):
    """While a rollout is on, the operator reads the pages of metrics of both versions' pods itself, and judges what they say.

    Port, path and scheme are those of the pods' annotations prometheus.io/port, prometheus.io/path and prometheus.io/scheme, unless
    they are given here, as in an endpoint of a PodMonitor. If the preset is of gateways (Envoy, NGINX, Traefik), their pods are
    read instead, and the operator's configuration alone says where.
    """

    interval: Annotated[
        Duration,
        Field(description="Time between two readings, 1s to 10s. Default: 1s."),
        K8s(
            rules=(Rule("duration(self) >= duration('1s') && duration(self) <= duration('10s')", "must be 1s to 10s"),),
        ),
    ] = timedelta(seconds=1)
    port: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=15,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            description=(
                "Name of a container port, e.g. metrics, or its number as text. Default: each pod's annotation prometheus.io/port."
            ),
        ),
    ] = None
    path: Annotated[
        str | None,
        Field(
            max_length=256,
            pattern=r"^/[!-~]*$",
            description="Path of the page. Default: the annotation prometheus.io/path of each pod, else /metrics.",
        ),
    ] = None
    scheme: Annotated[
        Scheme | None,
        Field(description="HTTP or HTTPS. Default: the annotation prometheus.io/scheme of each pod, else HTTP."),
    ] = None
