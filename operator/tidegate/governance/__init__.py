"""Who may let a version through, when, and after what: views of it and questions about them. Pure: no input or output, no clock.

Nothing here delays a rollback: it is asked where a weight may rise, and nowhere else.
"""
