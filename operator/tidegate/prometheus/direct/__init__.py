"""Direct readings: pods' own pages of metrics, read every few seconds while a rollout is on, for the same ledger and judge."""
