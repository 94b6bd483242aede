"""Instructions with an added text that is read for each run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from musterd.declare.run_context import requested_arguments


def with_text_of_run(instructions: Any, read: Callable[[Any], Any], *, is_async: bool) -> Callable[..., Any]:
    """A function for ``instructions=`` that returns ``instructions`` followed by the text of a run.

    :param instructions: a text, a list of texts, a function that returns one of these, or None.
    :param read: returns the text for the context of a run, as an awaitable if ``is_async``.
    :param is_async: whether ``read`` needs the event loop. Otherwise it is called in a thread.
    """

    async def text_of_run_async(**values: Any) -> str:
        own = _own(instructions, values)
        return _joined(await own if inspect.isawaitable(own) else own, await read(values["run_context"]))

    def text_of_run(**values: Any) -> Any:
        own, text = _own(instructions, values), read(values["run_context"])
        return _awaited(own, text) if inspect.isawaitable(own) else _joined(own, text)

    function: Any = text_of_run_async if is_async else text_of_run
    names = {"run_context"}
    if callable(instructions):
        names |= inspect.signature(instructions).parameters.keys()
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in sorted(names)]
    function.__signature__ = inspect.Signature(parameters)
    return function  # type: ignore[no-any-return]


def _own(instructions: Any, values: dict[str, Any]) -> Any:
    return instructions(**requested_arguments(instructions, values)) if callable(instructions) else instructions


async def _awaited(own: Any, text: str) -> str:
    return _joined(await own, text)


def _joined(instructions: str | Sequence[str] | None, text: str) -> str:
    lines = [instructions] if isinstance(instructions, str) else list(instructions or ())
    listed = lines if len(lines) < 2 else ["\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(part for part in (*listed, text) if part)
