"""Converts the settings of the user profiles and memories of Agno's ``LearningMachine``, which musterd keeps itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from musterd.declare import MemoryManager
from musterd.declare.memory_manager import PROFILE_FIELDS

OWN_STORES = ("user_profile", "user_memory")
"""The stores that musterd keeps itself."""
_CONFIGS = frozenset({"UserProfileConfig", "UserMemoryConfig"})
_TEXTS = {
    "system_message": "system_message",
    "instructions": "memory_capture_instructions",
    "additional_instructions": "additional_instructions",
}
"""The texts of both stores, and the fields of the manager for them."""
_PERMISSIONS = {
    "enable_add_memory": "add_memories",
    "enable_update_memory": "update_memories",
    "enable_delete_memory": "delete_memories",
    "enable_clear_memories": "clear_memories",
}
_MAX_PROFILE_FIELDS, _FIELD_NAME = 20, re.compile(r"[a-z][a-z0-9_]{0,49}")
Remark = Callable[[str, str], None]
"""Notes an option that means something else here, and what."""


class UserLearning:
    """The settings of one ``LearningMachine``.

    :param machine: the ``LearningMachine``.
    :param remark: called for each setting that musterd does not have.
    """

    def __init__(self, machine: Any, remark: Remark) -> None:
        stores = {name: store for name in OWN_STORES if (store := getattr(machine, name, None))}
        self._machine = machine
        self._configs = {name: store for name, store in stores.items() if type(store).__name__ in _CONFIGS}
        self._remark = remark
        self.is_used = bool(stores)
        """Whether the machine keeps profiles or memories."""
        for name in stores.keys() - self._configs.keys():
            if stores[name] is not True:
                remark(f"LearningMachine({name}={type(stores[name]).__name__})", "musterd keeps these itself")
        self._note_rest()
        modes = {str(getattr(config.mode, "value", config.mode)) for config in self._configs.values()}
        if len(self._configs) < len(stores):
            modes.add("always")
        self.is_agentic = self.is_used and "always" not in modes
        """Whether the model saves by a tool, and nothing is read after a run."""
        if len(modes) > 1:
            remark("LearningMachine with several modes", f"memories and profile have one: {self._mode}")
        elif modes - {"always", "agentic"}:
            remark(f"LearningMode.{modes.pop().upper()}", "the model saves by a tool, without asking")

    @property
    def _mode(self) -> str:
        return "the model saves by a tool" if self.is_agentic else "a model reads each message"

    def manager(self, declared: MemoryManager | None, convert_model: Callable[[Any], Any]) -> MemoryManager | None:
        """The memory manager with these settings; None if the default one has them.

        :param declared: the manager of the agent or team, whose own values have precedence.
        """
        values = self._manager_values()
        models = [self._machine.model, *(config.model for config in self._configs.values())]
        if (model := next((model for model in reversed(models) if model is not None), None)) is not None:
            values["model"] = convert_model(model)
        if declared is None:
            return MemoryManager(**values) if values else None
        missing = {name: value for name, value in values.items() if getattr(declared, name) is None}
        return dataclasses.replace(declared, **missing)

    def _manager_values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, of_manager in _TEXTS.items():
            texts = [text for config in self._configs.values() if (text := getattr(config, name))]
            if texts:
                values[of_manager] = "\n\n".join(texts)
        if (memory := self._configs.get("user_memory")) is not None:
            values |= {of_manager: getattr(memory, name) for name, of_manager in _PERMISSIONS.items()}
        if fields := self._profile_fields():
            values["profile_fields"] = fields
        return values

    def _profile_fields(self) -> dict[str, str]:
        profile = self._configs.get("user_profile")
        schema = None if profile is None else profile.schema
        if schema is None:
            return {}
        if not hasattr(schema, "get_updateable_fields"):
            self._remark("UserProfileConfig(schema=…)", "it has no fields that musterd can read")
            return {}
        own: dict[str, str] = {}
        for name, field in schema.get_updateable_fields().items():
            if name in PROFILE_FIELDS:
                continue
            if _FIELD_NAME.fullmatch(name) and len(own) < _MAX_PROFILE_FIELDS:
                own[name] = str(field["description"])
            else:
                self._remark(f"the field '{name}' of a UserProfile", "the profile does not have it")
        return own

    def _note_rest(self) -> None:
        """Note the settings for which musterd has nothing."""
        for name, config in self._configs.items():
            cls = type(config).__name__
            if config.enable_agent_tools and str(getattr(config.mode, "value", config.mode)) == "always":
                self._remark(f"{cls}(enable_agent_tools=True)", "a model reads each message; there is no tool")
            if name == "user_profile" and not config.enable_update_profile:
                self._remark(f"{cls}(enable_update_profile=False)", "the profile is updated")
            if name == "user_memory" and config.schema is not None:
                self._remark(f"{cls}(schema=…)", "a memory is a text with topics")
