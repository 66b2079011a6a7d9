"""Telling people and machines what happens: channels, each with a buffer of its own, in nobody's way."""
