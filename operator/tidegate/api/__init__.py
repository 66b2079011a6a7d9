"""The kinds of the group `tidegate.dev` as pydantic models, and the names that are part of the API."""
