"""The judge: readings in, verdicts out. Pure: no input or output, no clock.

So the same judge decides in the cluster, on the past and on generated traffic.
"""
