"""The values that hooks receive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.declare.hooks import HOOK_PARAMETERS
from musterd.declare.run_context import RunContext

__all__ = ["HOOK_PARAMETERS", "RunContext", "RunInput", "RunOutput"]


@dataclass(slots=True, kw_only=True)
class RunInput:
    """The input of a run. A hook may set ``input_content``; the model then reads that text instead.

    :param input_content: the message, or a member's task.
    :param images: pydantic-ai values with a ``url``, or with ``data`` and ``media_type``. The same holds for
        ``videos``, ``audios`` and ``files``.
    """

    input_content: str
    images: Sequence[Any] = ()
    videos: Sequence[Any] = ()
    audios: Sequence[Any] = ()
    files: Sequence[Any] = ()

    def input_content_string(self) -> str:
        """The message."""
        return self.input_content


@dataclass(slots=True, kw_only=True)
class RunOutput:
    """The output of a run. A hook may set ``content``, which then replaces the answer.

    :param input: the input of the run, as its pre-hooks left it.
    :param content: text, or a JSON value if the answer is structured.
    :param content_type: "str", or the name of the answer's schema.
    :param tools: the tool calls: ``name``, ``args``, ``result``, ``is_error``.
    """

    run_id: str
    session_id: str
    input: RunInput
    content: Any
    content_type: str = "str"
    tools: Sequence[dict[str, Any]] = ()

    def get_content_as_string(self) -> str:
        """The content as text."""
        return self.content if isinstance(self.content, str) else jsontext.dumps(self.content)
