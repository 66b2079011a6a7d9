"""Deployments and their ReplicaSets: what the engine sees of them, and the writes that hold, create, adopt and scale them."""
