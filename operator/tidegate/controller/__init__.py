"""The controller: from watch events and due times to snapshots, from plans to writes.

It does what the engine has decided, and decides nothing itself. Its rooms, each using only those behind it: `process` puts an
operator together, `reconcile` takes a Release from a decision to what the cluster has, `looks` reads gates when they are due,
`observe` sees. `metrics` is what all of them count.
"""
