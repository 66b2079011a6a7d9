"""From what was decided to writes: on the workload by its kind, and on routes and Services."""
