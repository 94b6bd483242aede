"""The base of records whose fields are named as in the server's JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRecord:
    """An object of an answer.

    :param raw: the object as the server sent it, with further keys.
    """

    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """The record of an object that the server sent."""
        values: dict[str, Any] = {entry.name: raw.get(entry.name) for entry in fields(cls)}
        return cls(**{**values, "raw": raw})
