"""Agno's cultural knowledge, which the agents of a database share. Agno's ``CultureManager`` reads and writes it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from musterd.agno.functions import is_async_database
from musterd.agno.instructions import with_text_of_run

OPTIONS = ("culture_manager", "enable_agentic_culture", "update_cultural_knowledge", "add_culture_to_context")


class Culture:
    """The cultural knowledge of an agent.

    :param owner: Agno's agent.
    """

    def __init__(self, owner: Any) -> None:
        from agno.culture.manager import CultureManager

        declared = owner.culture_manager
        self._manager: Any = CultureManager() if declared is None else copy.copy(declared)
        for name in ("model", "db"):
            if getattr(self._manager, name) is None:
                setattr(self._manager, name, getattr(owner, name))
        self._is_async = is_async_database(self._manager.db)

    def with_context(self, instructions: Any) -> Callable[..., Any]:
        """A function that returns ``instructions`` followed by all cultural knowledge."""

        def read(context: Any) -> Any:
            if not self._is_async:
                return _text(self._manager.get_all_knowledge())
            return _awaited_text(self._manager.aget_all_knowledge())

        return with_text_of_run(instructions, read, is_async=self._is_async)

    def tool(self) -> Callable[..., Any]:
        """The tool with which a model adds to cultural knowledge or changes it."""

        async def call_async(task: str) -> str:
            result: str = await self._manager.aupdate_culture_task(task=task)
            return result

        def call(task: str) -> str:
            result: str = self._manager.update_culture_task(task=task)
            return result

        tool = call_async if self._is_async else call
        tool.__name__ = "create_or_update_cultural_knowledge"
        tool.__doc__ = (
            "Add an insight or rule that helps other agents to the shared cultural knowledge, or change an entry."
        )
        return tool

    def after_run(self) -> Callable[..., Any]:
        """A post-hook that learns from the message."""

        async def update_async(run_output: Any) -> None:
            if message := run_output.input.input_content_string():
                await self._manager.acreate_cultural_knowledge(message=message)

        def update(run_output: Any) -> None:
            if message := run_output.input.input_content_string():
                self._manager.create_cultural_knowledge(message=message)

        return update_async if self._is_async else update


async def _awaited_text(entries: Any) -> str:
    return _text(await entries)


def _text(entries: Any) -> str:
    parts = [
        "\n".join(text for text in (f"## {entry.name}", entry.summary, entry.content) if text)
        for entry in entries or ()
    ]
    if not parts:
        return ""
    listed = "\n\n".join(parts)
    return f"Follow these shared principles of the agents:\n<cultural_knowledge>\n{listed}\n</cultural_knowledge>"
