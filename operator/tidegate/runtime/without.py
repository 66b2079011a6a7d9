"""Loads libraries without what they would load where it is installed, and which the operator has no use for."""

from __future__ import annotations

import importlib
import sys
import warnings


def without(unused: str, name: str) -> None:
    """Load a module that does without a library which it uses only where there is one.

    Nothing happens where one of them is loaded already. Whoever loads the library later gets it.

    Args:
        unused: name of the library; while the module is loaded, it cannot be found (`None` in `sys.modules`).
        name: of the module.
    """
    if unused in sys.modules or name in sys.modules:
        return
    sys.modules[unused] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # requests warns that it cannot guess encodings
            importlib.import_module(name)
    finally:
        del sys.modules[unused]
