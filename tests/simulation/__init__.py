"""A model of the cluster as far as the engine sees it, cranked by hand, and the invariants that hold in it."""
