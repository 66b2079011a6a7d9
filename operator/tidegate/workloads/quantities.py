"""Quantities of Kubernetes: `500m`, `2`, `1e3`, `128Mi`.

Templates are compared by the value of theirs, and autoscalers say with them how much is used: both must read them as the API server
does (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"([+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?)([numkMGTPE]|[KMGTPE]i)?")
_SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
_MOST_DIGITS = 40
"""Written out, a number with a large exponent would be as long as that; the API server's own end at 2**63."""


def quantity(value: object) -> Decimal | None:
    """Read a quantity.

    Args:
        value: a text or a number, as JSON has it.

    Returns:
        None where it is none, or one that is far beyond what the API server can hold.
    """
    read = _QUANTITY.fullmatch(str(value)) if value is not None else None
    if read is None:
        return None
    try:
        number = Decimal(read[1]) * _SUFFIXES.get(read[2], 1)
    except ArithmeticError:
        return None
    return number if not number or abs(number.adjusted()) < _MOST_DIGITS else None
