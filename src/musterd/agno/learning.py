"""Agno's ``LearningMachine``, except user profiles and memories, which musterd keeps itself.

Agno's object keeps its learnings in the file's database. musterd calls it at the same points as Agno: to build the
prompt, in tools, and after a run.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from musterd.agno.functions import is_async_database, is_team
from musterd.agno.instructions import with_text_of_run
from musterd.agno.user_learning import OWN_STORES

SESSION_CONTEXT = "session_context"
"""The store that Agno reads by the id of the session alone."""


class Learning:
    """The stores of a ``LearningMachine``, except :data:`OWN_STORES`.

    :param declared: the ``LearningMachine``.
    :param owner: Agno's agent or team that learns.
    """

    def __init__(self, declared: Any, owner: Any) -> None:
        self._machine: Any = dataclasses.replace(
            declared,
            **dict.fromkeys(OWN_STORES, False),
            db=declared.db if declared.db is not None else owner.db,
            model=declared.model if declared.model is not None else owner.model,
        )
        self._owner = owner
        self._is_async = is_async_database(self._machine.db)

    @property
    def stores(self) -> list[str]:
        """The names of the stores; may be empty."""
        return list(self._machine.stores)

    def _of_run(self, context: Any) -> dict[str, Any]:
        """The arguments by which the machine selects the learnings of a run's user, session and component."""
        role = "team_id" if is_team(self._owner) else "agent_id"
        return {"user_id": context.user_id, "session_id": context.session_id, role: self._owner.id}

    def with_context(self, instructions: Any) -> Callable[..., Any]:
        """A function that returns ``instructions`` followed by the learnings that concern the run."""

        async def read_async(context: Any) -> Any:
            await self._forget_other_users_async(context)
            return await self._machine.abuild_context(**self._of_run(context))

        def read(context: Any) -> Any:
            self._forget_other_users(context)
            return self._machine.build_context(**self._of_run(context))

        return with_text_of_run(instructions, read_async if self._is_async else read, is_async=self._is_async)

    # Once a session is deleted, another user may choose its id. Agno would give that user the context of the session,
    # because it stores the user only for audits.
    def _forget_other_users(self, context: Any) -> None:
        """Delete the context of a run's session if it is that of another user."""
        store = self._session_contexts()
        if store is None or is_async_database(store.db):
            return
        if _is_of_another(store.db.get_learnings(**_stored(context)), context):
            store.delete(context.session_id)

    async def _forget_other_users_async(self, context: Any) -> None:
        store = self._session_contexts()
        if store is None:
            return
        stored = store.db.get_learnings(**_stored(context))
        if _is_of_another(await stored if inspect.isawaitable(stored) else stored, context):
            await store.adelete(context.session_id)

    def _session_contexts(self) -> Any:
        """The store of the contexts of sessions; None if there is none, or if it has no database."""
        store = self._machine.stores.get(SESSION_CONTEXT)
        return store if getattr(store, "db", None) is not None else None

    def tools(self) -> list[Callable[..., Any]]:
        """The tools that search and save learnings. A call works on those of its run's user and session."""
        return [self._tool(function) for function in self._machine.get_tools()]

    def _tool(self, declared: Callable[..., Any]) -> Callable[..., Any]:
        name = declared.__name__

        # Agno creates a tool for one user and one session, so each call creates the tool of its run and calls that.
        async def call_async(run_context: Any, **arguments: Any) -> Any:
            result = _named(name, await self._machine.aget_tools(**self._of_run(run_context)))(**arguments)
            return await result if inspect.isawaitable(result) else result

        def call(run_context: Any, **arguments: Any) -> Any:
            return _named(name, self._machine.get_tools(**self._of_run(run_context)))(**arguments)

        tool: Any = functools.wraps(declared)(call_async if self._is_async else call)
        signature = inspect.signature(declared)
        run = inspect.Parameter("run_context", inspect.Parameter.KEYWORD_ONLY)
        tool.__signature__ = signature.replace(parameters=[*signature.parameters.values(), run])
        del tool.__wrapped__  # its signature has no context
        return tool  # type: ignore[no-any-return]

    def after_run(self) -> Callable[..., Any]:
        """A post-hook that learns from the message and the answer."""

        async def learn_async(run_output: Any, run_context: Any) -> None:
            await self._forget_other_users_async(run_context)
            await self._machine.aprocess(_messages(run_output), **self._of_run(run_context))

        def learn(run_output: Any, run_context: Any) -> None:
            self._forget_other_users(run_context)
            self._machine.process(_messages(run_output), **self._of_run(run_context))

        return learn_async if self._is_async else learn


def _stored(context: Any) -> dict[str, Any]:
    """The arguments that select the stored context of a run's session."""
    return {"learning_type": SESSION_CONTEXT, "session_id": context.session_id}


def _is_of_another(stored: Sequence[dict[str, Any]], context: Any) -> bool:
    """Whether a session's context belongs to another user. A context without a user belongs to the session."""
    return any(item.get("user_id") not in (None, context.user_id) for item in stored)


def _named(name: str, functions: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    return next(function for function in functions if function.__name__ == name)


def _messages(run_output: Any) -> list[Any]:
    from agno.models.message import Message

    return [
        Message(role="user", content=run_output.input.input_content_string()),
        Message(role="assistant", content=run_output.get_content_as_string()),
    ]
