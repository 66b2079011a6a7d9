"""The walkthrough: one version from dev to production, by what three people type, on a cluster of its own.

``python -m tidegate_sandbox.walkthrough`` brings up a cluster, plays the acts of `script.py` with real kubectl and the tokens of
three people, and prints what each of them types and reads. It ends with 0 only where every act ended as it should;
docs/walkthrough.md tells the same story, and a test compares.
"""
