"""What is seen of a Release: caches and what is read on demand, put together into the snapshot that a decision is made of."""
