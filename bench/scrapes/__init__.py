"""Rollouts as Prometheus sees them: pods that are scraped each at its own time, through the real ledger and judge."""
