"""The HTTP API, a process of its own: pipelines and portals ask it, and each request has the rights of its own token alone."""
