"""How a workload comes to serve another version: what differs from kind to kind, behind questions that rules ask of any.

`protocol` has the questions, `kinds` the kinds that there are. What a kind is like is known nowhere else in the engine.
"""
