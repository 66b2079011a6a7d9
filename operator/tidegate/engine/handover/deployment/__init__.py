"""Deployments: a second ReplicaSet of the Release's own gets the new version's pods, and the Deployment adopts it with them."""
