"""Workloads: what adapters know of their kinds, pods, templates and autoscalers. Each kind has a room of its own."""
