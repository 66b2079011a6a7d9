"""How a gate has pushed samples judged: those that others send to the operator, where it may not read pods."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from tidegate.api.base import Duration, K8s, Model, Rule


class Push(Model):
    """While a rollout is on, judge the samples of both versions' pods that Prometheus or an agent pushes to the operator."""

    interval: Annotated[
        Duration,
        Field(
            description=(
                "How often each pod has new samples, the scrape_interval of the agent, 5s to 1m. After two of them "
                "without samples Prometheus is asked instead. Default: 15s."
            )
        ),
        K8s(
            rules=(Rule("duration(self) >= duration('5s') && duration(self) <= duration('1m')", "must be 5s to 1m"),),
        ),
    ] = timedelta(seconds=15)
