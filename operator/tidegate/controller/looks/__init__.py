"""When each gate is looked at, and what a look needs to know of its Release."""
