"""The engine: decide(snapshot, now) -> plan. Pure: no input or output, no clock, no kopf, no Kubernetes client."""
