"""Tidegate: progressive delivery and release governance for Kubernetes."""

__version__ = "0.1.0"
