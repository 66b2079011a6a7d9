"""Traffic: the operator's two Services, and the routers that shift weight between them.

What the engine wants of routes and Services is turned here into the least change of objects that belong to somebody else.
"""
