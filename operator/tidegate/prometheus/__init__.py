"""Prometheus: what a gate asks, how it is asked, and what the answers are worth."""
