"""The session state as Agno's functions see it: with the ids of their run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from musterd.declare.run_context import RunContext


class IdsInState:
    """The ids of a run in its session state, while a function of Agno runs. They are never stored with the state.

    They replace values of the same names, which a client may have sent, until they are taken out again.

    :param more: further values, such as the id of the workflow.
    """

    def __init__(self, context: RunContext, more: Mapping[str, Any] = MappingProxyType({})) -> None:
        ids = {"user_id": context.user_id, "session_id": context.session_id, "run_id": context.run_id}
        values = {**more, **{f"current_{name}": value for name, value in ids.items()}}
        self._values = {name: value for name, value in values.items() if value}
        self._state = context.session_state
        self._replaced: dict[str, Any] | None = None

    def put_in(self) -> None:
        """Put the ids into the state, if they are not in it."""
        if self._replaced is None:
            self._replaced = {name: self._state[name] for name in self._values if name in self._state}
            self._state.update(self._values)

    def take_out(self) -> None:
        """Restore what the state had in their place."""
        if self._replaced is not None:
            for name in self._values:
                self._state.pop(name, None)
            self._state.update(self._replaced)
            self._replaced = None

    def __enter__(self) -> Self:
        self.put_in()
        return self

    def __exit__(self, *error: object) -> None:
        self.take_out()


def take_over(state: dict[str, Any] | None, context: RunContext) -> None:
    """Take over the session state that a function put in place of the dict that was passed to it."""
    if state is not None and state is not context.session_state:
        context.session_state.clear()
        context.session_state.update(state)
