"""Memories of users as runs read and change them."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from musterd.core.jsontypes import JsonObject

MEMORY_CHARACTERS = 5000
MAX_TOPICS = 100
TOPIC_CHARACTERS = 255
PROFILE_CHARACTERS = 200
"""The most characters of a field of a profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMemory:
    """A memory of a run's user.

    :param agent_id: the agent that wrote it, if one did.
    :param team_id: the team that wrote it, if one did.
    :param input: the message that it comes from, if a run wrote it.
    :param profile_field: the field of the user's profile that it is, if it is one. A user has each field once.
    """

    memory_id: str
    memory: str
    created_at: float
    updated_at: float
    topics: list[str] = field(default_factory=list)
    agent_id: str | None = None
    team_id: str | None = None
    input: str | None = None
    profile_field: str | None = None

    def as_json(self) -> JsonObject:
        """The memory as a JSON object with the field names as keys."""
        return {name: getattr(self, name) for name in UserMemory.__slots__}

    @classmethod
    def from_json(cls, value: JsonObject) -> "UserMemory":
        """Parse what :meth:`as_json` wrote."""
        return cls(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryChanges:
    """What a run changes in the memories of its user.

    :param updated: memories with their new texts, and ``updated_at`` of the row that the run read.
    :param removed: the same of memories that are removed.
    :param profile: fields of the user's profile with their new texts; with an empty text: to be removed. Of two changes
        of a field the later one counts, by ``at``, in whatever order they are stored.
    :param cleared_before: if all memories are removed: those that are not newer than this.
    :param at: when the changes were decided.
    """

    at: float
    added: Sequence[UserMemory] = ()
    updated: Sequence[UserMemory] = ()
    removed: Sequence[UserMemory] = ()
    profile: Sequence[UserMemory] = ()
    cleared_before: float | None = None

    def applied_to(self, memories: Iterable[UserMemory]) -> list[UserMemory]:
        """The memories as the changes leave them, new ones first."""
        gone = {memory.memory_id for memory in self.removed}
        updated = {memory.memory_id: replace(memory, updated_at=self.at) for memory in self.updated}
        before = -math.inf if self.cleared_before is None else self.cleared_before
        kept = [memory for memory in memories if memory.memory_id not in gone and memory.updated_at > before]
        return [*self.added, *(updated.get(memory.memory_id, memory) for memory in kept)]

    def applied_to_profile(self, profile: Iterable[UserMemory]) -> list[UserMemory]:
        """The fields of the profile as the changes leave them."""
        before = -math.inf if self.cleared_before is None else self.cleared_before
        fields = {memory.profile_field: memory for memory in profile if memory.updated_at > before}
        fields.update((memory.profile_field, memory) for memory in self.profile)
        return [memory for memory in fields.values() if memory.memory]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not any(getattr(self, name) for name in _LISTS) and self.cleared_before is None

    def as_json(self) -> JsonObject:
        """The changes as a JSON object with the field names as keys."""
        lists = {name: [memory.as_json() for memory in getattr(self, name)] for name in _LISTS}
        return {"at": self.at, **lists, "cleared_before": self.cleared_before}

    @classmethod
    def from_json(cls, value: JsonObject) -> "MemoryChanges":
        """Parse what :meth:`as_json` wrote, and ignore other keys."""
        lists = {name: [UserMemory.from_json(item) for item in value[name]] for name in _LISTS}
        return cls(at=value["at"], cleared_before=value["cleared_before"], **lists)


_LISTS = ("added", "updated", "removed", "profile")


def in_order(records: Iterable[JsonObject]) -> list[MemoryChanges]:
    """The changes in several records of :meth:`MemoryChanges.as_json`, in the order in which they were decided."""
    return sorted(map(MemoryChanges.from_json, records), key=lambda changes: changes.at)


def changed_ids(changes: Iterable[MemoryChanges]) -> JsonObject:
    """The ids of the memories that are added, updated and removed altogether, without empty lists.

    :param changes: in the order in which they were decided; later ones may be about memories that earlier ones add.
    """
    added, updated, removed = dict[str, None](), dict[str, None](), dict[str, None]()
    for change in changes:
        set_fields = [memory for memory in change.profile if memory.memory]
        new = [*change.added, *(memory for memory in set_fields if memory.created_at == change.at)]
        added.update((memory.memory_id, None) for memory in new)
        changed = [*change.updated, *set_fields]
        updated.update((memory.memory_id, None) for memory in changed if memory.memory_id not in added)
        for memory in (*change.removed, *(memory for memory in change.profile if not memory.memory)):
            updated.pop(memory.memory_id, None)
            if memory.memory_id in added:
                del added[memory.memory_id]
            else:
                removed[memory.memory_id] = None
    lists = {"added": list(added), "updated": list(updated), "removed": list(removed)}
    return {name: ids for name, ids in lists.items() if ids}


def memory_key(text: str, profile_field: str | None) -> str:
    """What a user has once: a field of the profile, or a text, apart from case and white space."""
    return text_key(text) if profile_field is None else f"field:{profile_field}"


def text_key(text: str) -> str:
    """A hash that is the same for texts that differ only in case and white space."""
    return hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=16).hexdigest()
