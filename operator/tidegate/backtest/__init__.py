"""Rollouts that are judged outside the cluster: on generated traffic and on what Prometheus remembers."""
