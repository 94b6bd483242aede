"""Functions of a file of Agno that are called during a run, with the values that Agno passes under these names."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from musterd.declare.library_tools.agno_state import IdsInState, take_over
from musterd.declare.library_tools.agno_tools import run_context, translated_exit
from musterd.declare.run_context import RunContext

_INNER_CALLS = ("function", "func", "function_call")
"""The parameters by which a hook around a tool receives the function that calls the tool."""
_NO_IDS: Mapping[str, Any] = {}


def with_agno_values(function: Callable[..., Any], owner: Any) -> Callable[..., Any]:
    """``function`` for musterd: it is called with the same names, and Agno's objects for those that musterd has too.

    :param owner: Agno's agent or team that has the function.
    """
    names = taken_names(function)

    async def call_async(**values: Any) -> Any:
        with agno_values(values, owner, names) as arguments:
            return await function(**arguments)

    def call(**values: Any) -> Any:
        with contextlib.ExitStack() as stack:
            returned = function(**stack.enter_context(agno_values(values, owner, names)))
            return awaited_in(stack.pop_all(), returned) if inspect.isawaitable(returned) else returned

    wrapper: Any = call_async if inspect.iscoroutinefunction(function) else call
    functools.update_wrapper(wrapper, function)
    return like(function, wrapper)


async def awaited_in(stack: contextlib.ExitStack, returned: Awaitable[Any]) -> Any:
    """What a plain function returned that has to be awaited, as an object with an async ``__call__`` does."""
    with stack:
        return await returned


def like(function: Callable[..., Any], wrapper: Any) -> Callable[..., Any]:
    """``wrapper`` with the name and the parameters of ``function``, which may be an object without a name.

    If ``function`` takes the session state, the wrapper takes the run too, whose ids are in the state.
    """
    wrapper.__name__ = getattr(function, "__name__", type(function).__name__)
    wrapper.__doc__ = function.__doc__
    if (signature := _signature(function)) is not None:
        wrapper.__signature__ = _with_context(signature)
    return wrapper  # type: ignore[no-any-return]


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except ValueError:  # a C function without a signature
        return None


def _with_context(signature: inspect.Signature) -> inspect.Signature:
    """``signature`` with ``run_context`` if it has ``session_state``."""
    parameters = list(signature.parameters.values())
    if "session_state" not in signature.parameters or "run_context" in signature.parameters:
        return signature
    has_rest = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    parameters.insert(len(parameters) - has_rest, inspect.Parameter("run_context", inspect.Parameter.KEYWORD_ONLY))
    return signature.replace(parameters=parameters)


def taken_names(function: Callable[..., Any]) -> frozenset[str] | None:
    """The names of the values that a function takes; None if it takes all."""
    signature = _signature(function)
    if signature is None:
        return frozenset()
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return None if inspect.Parameter.VAR_KEYWORD in kinds else frozenset(signature.parameters)


@contextlib.contextmanager
def agno_values(
    values: Mapping[str, Any], owner: Any, names: frozenset[str] | None = None, ids: Mapping[str, Any] = _NO_IDS
) -> Iterator[dict[str, Any]]:
    """The values of a call, with Agno's agent, team and context in place of musterd's.

    During the call the session state has the ids of the run. What the call put in place of the state is taken over.

    :param names: those that the function takes; None: all.
    :param ids: further values that the session state has.
    """
    arguments = dict(values)
    for name in ("agent", "team"):
        if name in arguments:
            arguments[name] = owner if is_team(owner) == (name == "team") else None
    context = values.get("run_context")
    with contextlib.ExitStack() as stack:
        if isinstance(context, RunContext):
            agno_context = arguments["run_context"] = run_context(context)
            ids_in_state = stack.enter_context(IdsInState(context, ids))
            stack.callback(lambda: take_over(agno_context.session_state, context))
            _hide_from_inner_calls(ids_in_state, arguments)
        if "fc" in values or "function_call" in values:
            stack.enter_context(_exits_translated())
        yield arguments if names is None else {name: value for name, value in arguments.items() if name in names}


@contextlib.contextmanager
def _exits_translated() -> Iterator[None]:
    """Let a hook of a tool stop the run, or say something to the model, as the tool itself can."""
    try:
        yield
    except Exception as error:
        translated = translated_exit(error)
        if translated is error:
            raise
        raise translated from error


def _hide_from_inner_calls(ids: IdsInState, arguments: dict[str, Any]) -> None:
    """Take the ids out of the state while a hook calls the tool: it has its own, and so has a member's run."""
    call = arguments.get("function_call")
    if call is None:
        return

    async def inner_async(**changed: Any) -> Any:
        ids.take_out()
        try:
            return await call(**changed)
        finally:
            ids.put_in()

    def inner(**changed: Any) -> Any:
        ids.take_out()
        try:
            return call(**changed)
        finally:
            ids.put_in()

    wrapper = inner_async if inspect.iscoroutinefunction(call) else inner
    arguments.update(dict.fromkeys(_INNER_CALLS, wrapper))


def is_team(declared: Any) -> bool:
    """Whether an object of Agno is a team."""
    return any(cls.__name__ == "Team" for cls in type(declared).__mro__)


def is_async_database(database: Any) -> bool:
    """Whether a database of Agno has only async methods."""
    return any(cls.__name__ == "AsyncBaseDb" for cls in type(database).__mro__)
