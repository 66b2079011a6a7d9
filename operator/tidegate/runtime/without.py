"""Loads libraries without what they would load where it is installed, and which the operator has no use for."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Collection
from types import ModuleType


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


def without_parts(unused: Collection[str], name: str) -> None:
    """Load a module without parts of its own library that the library imports at once, asked for or not.

    Nothing happens where it is loaded already. Whoever loads one of the parts later gets it.

    Args:
        unused: full names of modules; while the module is loaded, these are empty.
        name: of the module. It takes nothing from the parts but their names.
    """
    empty = {part: ModuleType(part) for part in unused}
    if name in sys.modules or sys.modules.keys() & empty:
        return
    sys.modules.update(empty)
    try:
        importlib.import_module(name)
    finally:
        for part, nothing in empty.items():
            del sys.modules[part]
            package, _, attribute = part.rpartition(".")
            if getattr(sys.modules.get(package), attribute, None) is nothing:
                delattr(sys.modules[package], attribute)
