"""Who may let a version through, when, and after what: pure, and only about traffic that rises.

Nothing here is read by what takes traffic away. The engine asks it as barriers (`engine/governed.py`); whatever cannot be read is
closed.
"""
