"""Programs of the checkout that are no modules of a package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]


def loaded(path: str) -> ModuleType:
    """Return a program as a module, given by its path from the checkout's root."""
    spec = importlib.util.spec_from_file_location(f"tidegate_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
