"""How fast and how frugal the operator is: `python -m bench.scale`, from the checkout's root."""
