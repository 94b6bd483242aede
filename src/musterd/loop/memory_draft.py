"""The changes that a memory manager's tool calls make, collected before anything is stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_ai.messages import ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.tools import ToolDefinition

from musterd.core import jsontext
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.user_memories import (
    MAX_TOPICS,
    MEMORY_CHARACTERS,
    PROFILE_CHARACTERS,
    TOPIC_CHARACTERS,
    MemoryChanges,
    UserMemory,
    memory_key,
)
from musterd.declare import MemoryManager
from musterd.loop.argument_limits import read_arguments, refused_calls
from musterd.loop.builtin_tools import Rejected
from musterd.loop.user_memories import Remembered

MAX_ADDED = 20
"""The most memories that one update adds."""
_MEMORY = {"type": "string", "description": "One fact about the user, in the third person."}
_TOPICS = {"type": "array", "items": {"type": "string"}, "description": "Short topics, like name or food."}
_ID = {"type": "string", "description": "The number of the memory."}


def _tool(name: str, description: str, required: Sequence[str], /, **properties: JsonObject) -> ToolDefinition:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return ToolDefinition(name=name, description=description, parameters_json_schema=schema)


_ADD = _tool("add_memory", "Add a memory.", ["memory"], memory=_MEMORY, topics=_TOPICS)
_UPDATE = _tool(
    "update_memory",
    "Replace a memory whose fact has changed.",
    ["memory_id", "memory"],
    memory_id=_ID,
    memory=_MEMORY,
    topics=_TOPICS,
)
_DELETE = _tool("delete_memory", "Delete a memory that is wrong or is to be forgotten.", ["memory_id"], memory_id=_ID)
_CLEAR = _tool("clear_memory", "Delete all memories, if the user asks to forget everything.", [])


_PROFILE = "update_profile"


def manager_tools(manager: MemoryManager, profile_fields: Mapping[str, str]) -> list[ToolDefinition]:
    """The tools that a manager's options enable, and the one for the profile if there is one."""
    enabled = {
        _ADD.name: manager.add_memories,
        _UPDATE.name: manager.update_memories,
        _DELETE.name: manager.delete_memories,
        _CLEAR.name: manager.clear_memories,
    }
    tools = [tool for tool in (_ADD, _UPDATE, _DELETE, _CLEAR) if enabled[tool.name]]
    return [*tools, _profile_tool(profile_fields)] if profile_fields else tools


def _profile_tool(fields: Mapping[str, str]) -> ToolDefinition:
    description = "Set fields of the user's profile. Leave out the others. An empty text removes a field."
    properties = {name: {"type": "string", "description": meaning} for name, meaning in fields.items()}
    return _tool(_PROFILE, description, [], **properties)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where new memories come from.

    :param new_id: the id of the memory with a number, or of the field of the profile with a name.
    :param text: the message that they come from.
    """

    at: float
    new_id: Callable[[int | str], str]
    text: str
    agent_id: str | None = None
    team_id: str | None = None


class MemoryDraft:
    """The user's memories as the manager's calls leave them.

    :param profile_fields: the fields of the profile that the manager may set.
    :param remembered: the memories that the manager read; its calls name them by their numbers, from 1.
    """

    def __init__(
        self, manager: MemoryManager, profile_fields: Mapping[str, str], remembered: Remembered, source: Source
    ) -> None:
        self._read = {memory.memory_id: memory for memory in remembered.memories}
        self._numbers = list(self._read)
        self._current = dict(self._read)
        self._fields = profile_fields
        self._profile = {memory.profile_field: memory for memory in remembered.profile}
        self._set_fields: dict[str, UserMemory] = {}
        self._cleared_before: float | None = None
        self._remembered, self._source = remembered, source
        actions: Mapping[str, Callable[[JsonObject], str]] = {
            _ADD.name: self._add,
            _UPDATE.name: self._update,
            _DELETE.name: self._delete,
            _CLEAR.name: self._clear,
            _PROFILE: self._update_profile,
        }
        self._actions = {tool.name: actions[tool.name] for tool in manager_tools(manager, profile_fields)}

    def apply(self, response: ModelResponse) -> tuple[list[ToolReturnPart], bool]:
        """Apply the calls of an answer.

        :return: their results, and whether one of them was refused.
        """
        reasons, results = refused_calls(response), list[ToolReturnPart]()
        for call in (part for part in response.parts if isinstance(part, ToolCallPart)):
            text, is_refused = self._result(call, reasons.get(call.tool_call_id))
            results.append(
                ToolReturnPart(
                    tool_name=call.tool_name,
                    content=text,
                    tool_call_id=call.tool_call_id,
                    outcome="failed" if is_refused else "success",
                )
            )
        return results, any(result.outcome == "failed" for result in results)

    def _result(self, call: ToolCallPart, reason: str | None) -> tuple[str, bool]:
        arguments, problem = read_arguments(call)
        action = self._actions.get(call.tool_name)
        try:
            if reason or problem:
                raise Rejected(reason or problem)
            if action is None:
                raise Rejected(f"There is no tool '{call.tool_name}'. Tools: {', '.join(self._actions)}.")
            return action(arguments), False
        except Rejected as rejection:
            return str(rejection), True

    # --- the calls --------------------------------------------------------------------------------

    def _add(self, arguments: JsonObject) -> str:
        text, topics = _memory_in(arguments), _topics_in(arguments)
        if len(self._numbers) - len(self._read) >= MAX_ADDED:
            raise Rejected(f"At most {MAX_ADDED} memories are added at once.")
        if memory_key(text, None) in map(_key, self._current.values()):
            return "This is remembered already."
        source, memory_id = self._source, self._source.new_id(len(self._numbers))
        self._numbers.append(memory_id)
        added = UserMemory(
            memory_id=memory_id, memory=text, topics=topics or [], created_at=source.at, updated_at=source.at
        )
        self._current[memory_id] = self._by_source(added)
        return f"Added with the number {len(self._numbers)}."

    def _update(self, arguments: JsonObject) -> str:
        memory, text, topics = self._named(arguments), _memory_in(arguments), _topics_in(arguments)
        read = self._read.get(memory.memory_id)
        updated = replace(memory, memory=text, topics=memory.topics if topics is None else topics)
        # A text that stays is from its first source, even if an earlier call of this update had changed it.
        if read is not None and read.memory == text:
            updated = replace(read, topics=updated.topics)
        else:
            updated = self._by_source(updated)
        self._current[memory.memory_id] = updated
        return "This is remembered already." if updated == read else "Updated."

    def _delete(self, arguments: JsonObject) -> str:
        del self._current[self._named(arguments).memory_id]
        return "Deleted."

    def _clear(self, arguments: JsonObject) -> str:
        self._current.clear()
        self._profile.clear()
        self._set_fields.clear()
        self._cleared_before = self._remembered.at
        return "All memories were deleted."

    def _update_profile(self, arguments: JsonObject) -> str:
        fields = {name: _field_in(name, value) for name, value in arguments.items() if value is not None}
        if unknown := next((name for name in fields if name not in self._fields), None):
            raise Rejected(f"The profile has no field {unknown[:50]!r}. Fields: {', '.join(self._fields)}.")
        for name, text in fields.items():
            self._set_field(name, text)
        return "Updated." if fields else "Nothing was set."

    def _set_field(self, name: str, text: str) -> None:
        at, stored = self._source.at, self._profile.get(name)
        if (stored.memory if stored else "") == text:
            self._set_fields.pop(name, None)  # an earlier call of this update had changed it
            return
        field = stored or UserMemory(
            memory_id=self._source.new_id(name),
            memory=text,
            topics=[name],
            created_at=at,
            updated_at=at,
            profile_field=name,
        )
        self._set_fields[name] = self._by_source(replace(field, memory=text, updated_at=at))

    def _by_source(self, memory: UserMemory) -> UserMemory:
        source = self._source
        return replace(memory, agent_id=source.agent_id, team_id=source.team_id, input=source.text)

    def _named(self, arguments: JsonObject) -> UserMemory:
        number = str(arguments.get("memory_id", "")).strip()
        index = int(number) - 1 if number.isascii() and number.isdigit() and len(number) < 6 else -1
        memory_id = self._numbers[index] if 0 <= index < len(self._numbers) else ""
        if memory_id not in self._current:
            raise Rejected(f"There is no memory {number[:20]!r}. Use the number of one that you were shown.")
        return self._current[memory_id]

    # --- the changes ------------------------------------------------------------------------------

    @property
    def changes(self) -> MemoryChanges:
        """What the calls change."""
        current, read = self._current, self._read
        return MemoryChanges(
            at=self._source.at,
            added=[memory for memory_id, memory in current.items() if memory_id not in read],
            updated=[memory for memory_id, memory in current.items() if read.get(memory_id, memory) != memory],
            removed=[memory for memory_id, memory in read.items() if memory_id not in current],
            profile=list(self._set_fields.values()),
            cleared_before=self._cleared_before,
        )

    def drop_stale(self, stored: Sequence[UserMemory]) -> list[str]:
        """Undo changes of memories that others have changed since, and additions of what is stored after the changes.

        A field of the profile is set all the same, unless the other change was decided after this update began.

        :param stored: the memories with the ids or the keys of the changes, as they are now.
        :return: the ids of the memories whose changes were undone.
        """
        changes, stale = self.changes, list[str]()
        now = {memory.memory_id: memory for memory in stored}
        for memory in (*changes.updated, *changes.removed):
            current = now.get(memory.memory_id)
            if current is not None and current.updated_at != memory.updated_at:
                self._current[memory.memory_id] = self._read[memory.memory_id]
                stale.append(memory.memory_id)
        known = {_key(memory): memory for memory in replace(self.changes, added=()).applied_to(stored)}
        for memory in changes.added:
            if _key(memory) in known:
                del self._current[memory.memory_id]
        for name, field in list(self._set_fields.items()):
            current = known.get(_key(field))
            if current is not None and current.updated_at >= self._source.at:
                del self._set_fields[name]
                stale.append(current.memory_id)
            elif current is not None:
                self._set_fields[name] = replace(field, memory_id=current.memory_id, created_at=current.created_at)
        return stale


def _key(memory: UserMemory) -> str:
    return memory_key(memory.memory, memory.profile_field)


def _field_in(name: str, value: Json) -> str:
    text = jsontext.storable(value).strip() if isinstance(value, str) else None
    if text is None or len(text) > PROFILE_CHARACTERS:
        raise Rejected(f"{name[:50]} is a text of at most {PROFILE_CHARACTERS} characters.")
    return text


def _memory_in(arguments: JsonObject) -> str:
    value: Json = arguments.get("memory")
    text = jsontext.storable(value).strip() if isinstance(value, str) else ""
    if not text:
        raise Rejected("memory is the text to remember, and must not be empty.")
    if len(text) > MEMORY_CHARACTERS:
        raise Rejected(f"The memory has {len(text)} characters; at most {MEMORY_CHARACTERS} are allowed.")
    return text


def _topics_in(arguments: JsonObject) -> list[str] | None:
    topics: Json = arguments.get("topics")
    if topics is None:
        return None
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise Rejected("topics is a list of short texts.")
    cut = (jsontext.storable(topic).strip()[:TOPIC_CHARACTERS] for topic in topics)
    return list(dict.fromkeys(topic for topic in cut if topic))[:MAX_TOPICS]
