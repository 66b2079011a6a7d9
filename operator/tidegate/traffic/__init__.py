"""Traffic: the operator's two Services, and the routers that shift weight between them."""
