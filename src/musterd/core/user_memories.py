"""Memories of users as runs read and change them."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from musterd.core.jsontypes import JsonObject

MEMORY_CHARACTERS = 5000
MAX_TOPICS = 100
TOPIC_CHARACTERS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMemory:
    """A memory of a run's user.

    :param agent_id: the agent that wrote it, if one did.
    :param team_id: the team that wrote it, if one did.
    :param input: the message that it comes from, if a run wrote it.
    """

    memory_id: str
    memory: str
    created_at: float
    updated_at: float
    topics: list[str] = field(default_factory=list)
    agent_id: str | None = None
    team_id: str | None = None
    input: str | None = None

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
    :param cleared_before: if all memories are removed: those that are not newer than this.
    :param at: when the changes were decided.
    """

    at: float
    added: Sequence[UserMemory] = ()
    updated: Sequence[UserMemory] = ()
    removed: Sequence[UserMemory] = ()
    cleared_before: float | None = None

    def applied_to(self, memories: Iterable[UserMemory]) -> list[UserMemory]:
        """The memories as the changes leave them, new ones first."""
        gone = {memory.memory_id for memory in self.removed}
        updated = {memory.memory_id: replace(memory, updated_at=self.at) for memory in self.updated}
        before = -math.inf if self.cleared_before is None else self.cleared_before
        kept = [memory for memory in memories if memory.memory_id not in gone and memory.updated_at > before]
        return [*self.added, *(updated.get(memory.memory_id, memory) for memory in kept)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.added or self.updated or self.removed) and self.cleared_before is None

    def as_json(self) -> JsonObject:
        """The changes as a JSON object with the field names as keys."""
        lists = {name: [memory.as_json() for memory in getattr(self, name)] for name in _LISTS}
        return {"at": self.at, **lists, "cleared_before": self.cleared_before}

    @classmethod
    def from_json(cls, value: JsonObject) -> "MemoryChanges":
        """Parse what :meth:`as_json` wrote, and ignore other keys."""
        lists = {name: [UserMemory.from_json(item) for item in value[name]] for name in _LISTS}
        return cls(at=value["at"], cleared_before=value["cleared_before"], **lists)


_LISTS = ("added", "updated", "removed")


def in_order(records: Iterable[JsonObject]) -> list[MemoryChanges]:
    """The changes in several records of :meth:`MemoryChanges.as_json`, in the order in which they were decided."""
    return sorted(map(MemoryChanges.from_json, records), key=lambda changes: changes.at)


def changed_ids(changes: Iterable[MemoryChanges]) -> JsonObject:
    """The ids of the memories that are added, updated and removed altogether, without empty lists.

    :param changes: in the order in which they were decided; later ones may be about memories that earlier ones add.
    """
    added, updated, removed = dict[str, None](), dict[str, None](), dict[str, None]()
    for change in changes:
        added.update((memory.memory_id, None) for memory in change.added)
        updated.update((memory.memory_id, None) for memory in change.updated if memory.memory_id not in added)
        for memory in change.removed:
            updated.pop(memory.memory_id, None)
            if memory.memory_id in added:
                del added[memory.memory_id]
            else:
                removed[memory.memory_id] = None
    lists = {"added": list(added), "updated": list(updated), "removed": list(removed)}
    return {name: ids for name, ids in lists.items() if ids}


def text_key(text: str) -> str:
    """A hash that is the same for texts that differ only in case and white space."""
    return hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=16).hexdigest()
