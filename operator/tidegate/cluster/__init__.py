"""The Kubernetes API: a thin asynchronous client of raw objects, reflectors that fill the store, and Events."""
