"""Workloads: what a Deployment and its ReplicaSets are, and the writes that hold, create, adopt and scale them."""
