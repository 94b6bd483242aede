"""How memories of users are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from musterd.declare.options import FLAG, MODEL, TEXT, Declared, Kind, about, check_values
from musterd.declare.source_location import Place, current_place

if TYPE_CHECKING:
    from pydantic_ai.models import Model

PROFILE_FIELDS = {"name": "The user's full name.", "preferred_name": "How the user wants to be addressed."}
"""The fields that every profile has, and what they mean."""
_MAX_PROFILE_FIELDS = 20
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


def _are_fields(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) <= _MAX_PROFILE_FIELDS
        and all(isinstance(name, str) and _FIELD_NAME.fullmatch(name) for name in value)
        and all(isinstance(meaning, str) for meaning in value.values())
    )


_PROFILE = Kind(
    words=f"a dict of at most {_MAX_PROFILE_FIELDS} names and their meanings, like {{'company': 'Where they work'}}",
    accepts=_are_fields,
    yaml=dict[str, str],
)
_REMOVED = {"db": "remove it: musterd keeps memories in its own database (musterd serve --db)"}


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryManager(Declared):
    """The model that decides what an agent or team remembers of its users, and what it may do.

    ``docs/reference/teams.md`` lists the fields.

    :raises DeclarationError: a field is unknown or has an invalid value.
    """

    kind = "memory manager"
    removed = _REMOVED
    ignored = ("debug_mode",)

    model: str | Model | None = field(
        default=None,
        metadata=about(MODEL, "Its model; default: `MUSTERD_MEMORY_MODEL`, else that of the agent or team."),
    )
    system_message: str | None = field(
        default=None, metadata=about(TEXT, "Replaces its instructions; the memories so far follow.")
    )
    memory_capture_instructions: str | None = field(
        default=None, metadata=about(TEXT, "What to remember, in place of the default.")
    )
    additional_instructions: str | None = field(
        default=None, metadata=about(TEXT, "Text that follows the instructions.")
    )
    add_memories: bool = field(default=True, metadata=about(FLAG, "It may add memories."))
    update_memories: bool = field(default=True, metadata=about(FLAG, "It may change memories."))
    delete_memories: bool = field(default=False, metadata=about(FLAG, "It may delete memories."))
    clear_memories: bool = field(default=False, metadata=about(FLAG, "It may delete all memories of the user."))
    profile_fields: Mapping[str, str] | None = field(
        default=None,
        metadata=about(
            _PROFILE,
            "More fields of the profile that `learning` keeps, with what each means; `name` and `preferred_name` are "
            "always there.",
        ),
    )
    declared_at: Place = field(default_factory=current_place, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the values."""
        check_values(self, "this memory manager", self.declared_at)
