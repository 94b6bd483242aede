"""What is wrong with a request: collected over its fields, told in one answer, in FastAPI's shape."""

from collections.abc import Sequence
from typing import Any

from musterd.core.errors import InvalidInput

MOST = 20
"""Problems that one answer tells: a long list of wrong items must not make a longer one of words."""
MISSING = ("missing", "Field required")


class Problems:
    """A list that fills while fields are read; a field that is wrong reads as absent meanwhile."""

    def __init__(self, part: str) -> None:
        """:param part: where the fields stand: ``body`` or ``query``."""
        self._part = part
        self._errors: list[dict[str, Any]] = []

    def add(self, where: str | Sequence[str | int], kind: str, msg: str, value: Any = None) -> None:
        """Add the problem of the field at ``where``.

        :param kind: pydantic's name of the problem, such as ``bool_parsing``.
        :param value: the invalid value. Texts longer than 200 characters are cut, so that a 422 stays small.
        """
        if len(self._errors) >= MOST:
            return
        path = [where] if isinstance(where, str) else list(where)
        self._errors.append({"type": kind, "loc": [self._part, *path], "msg": msg, "input": _for_answer(value)})

    @property
    def messages(self) -> list[str]:
        """The messages of all problems."""
        return [error["msg"] for error in self._errors]

    def raise_if_any(self) -> None:
        """Raise one :class:`InvalidInput` with all problems, if there are any."""
        if self._errors:
            words = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in self._errors)
            raise InvalidInput("; ".join(words), self._errors)


def _for_answer(value: Any) -> Any:
    """``value`` as an answer may repeat it: short, and valid in JSON."""
    if isinstance(value, str):
        text = value if len(value) <= 200 else value[:200] + "…"
        return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    return value if value is None or isinstance(value, (bool, int)) else None
