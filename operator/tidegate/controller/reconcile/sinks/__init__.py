"""Where transitions go: one module for each sink, all of them listed in `registry`."""
