"""From a decision to what the cluster has: the status is stored, writes are carried out, Events are told."""
