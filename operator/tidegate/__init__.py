"""Tidegate: progressive delivery and release governance for Kubernetes.

What may be used from outside is the kinds (`api`), the judge (`judge.reading` in, verdicts out) and the decision (`engine.decide`);
all else may change with any version.
"""

__version__ = "0.1.0"
