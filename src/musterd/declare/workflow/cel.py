"""CEL texts as conditions of workflows (https://cel.dev).

The library is imported only if a declaration has such a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from musterd.declare.source_location import Place


def check_cel(text: str, label: str, names: Sequence[str], place: Place) -> None:
    """Check the syntax and the names of a CEL text.

    :param names: the names that it may use.
    :raises DeclarationError: it is not valid, or the library is not installed.
    """


def evaluate_cel(text: str, values: Mapping[str, Any]) -> Any:
    """The value of a CEL text.

    :param values: JSON values by name.
    :raises ValueError: it cannot be evaluated with these values.
    """
    raise NotImplementedError
