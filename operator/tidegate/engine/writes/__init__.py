"""From what was decided to writes: on the Deployment and its ReplicaSets, and on routes and Services."""
