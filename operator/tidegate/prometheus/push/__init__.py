"""Samples that are pushed to the operator, by whoever scrapes pods where the operator may not."""
