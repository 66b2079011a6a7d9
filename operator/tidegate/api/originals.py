"""What the user's routes and Services said before a rollout, as a Release's status notes it.

A rollout writes into objects of other people. What is to be put back, and where stable's ports lead meanwhile, must outlive the
operator and be told apart from what people edit in the meantime; so it stands in the status, and in nothing but these models.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.api.base import K8s, Model, Time
from tidegate.api.release import HTTP_ROUTE


class OriginalRule(Model):
    """The backends of one rule of a route as the user wrote them, to be put back afterwards."""

    kind: Annotated[str | None, Field(max_length=63, description=f"Kind of the route. Default: {HTTP_ROUTE}.")] = None
    route: Annotated[str, Field(max_length=253, description="Name of the route.")]
    rule: Annotated[int, Field(ge=0, le=1023, description="Number of the rule in the route, from 0.")]
    backend_refs: Annotated[
        str,
        Field(
            max_length=8192,
            description="The rule's backendRefs as JSON text: names, ports and weights; of all else a digest that has no values.",
        ),
    ]

    @property
    def of_kind(self) -> str:
        """Kind of the route; of the first that there was it is not noted, so that a status of that time reads like one of today."""
        return self.kind or HTTP_ROUTE


MOST_PORTS = 64
"""Ports of a Service that are noted; one with more is taken as it is."""


class PortStatus(Model):
    """A port of a Service, and where it leads."""

    port: Annotated[int, Field(ge=1, le=65535, description="Number of the Service's port.")]
    protocol: Annotated[str, Field(max_length=16, description="Protocol of the port.")]
    target: Annotated[str, Field(max_length=63, description="The targetPort: number or name of the pods' port.")]
    app_protocol: Annotated[str | None, Field(max_length=316, description="Its appProtocol.")] = None


class TargetsStatus(Model):
    """Where the ports of the user's Service lead, as it holds for the stable version."""

    service: Annotated[str, Field(max_length=63, description="Name of the Service.")]
    ports: Annotated[
        tuple[PortStatus, ...],
        Field(max_length=MOST_PORTS, description="Its ports while stable was all that there was."),
        K8s(list_map_keys=("port", "protocol")),
    ] = ()
    next_ports: Annotated[
        tuple[PortStatus, ...] | None,
        Field(
            max_length=MOST_PORTS,
            description="Its ports since then; they count for stable, too, once they have stood for a minute.",
        ),
        K8s(list_map_keys=("port", "protocol")),
    ] = None
    changed_at: Annotated[Time | None, Field(description="Since when.")] = None
