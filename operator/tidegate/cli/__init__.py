"""The command line: the operator itself, and what people ask of it before, during and after a rollout.

Commands import what they need when they are called, so that to check a file costs none of what the operator needs.
"""
