"""What a hook is handed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from musterd.core import jsontext
from musterd.declare.hooks import GIVEN
from musterd.declare.run_context import RunContext

__all__ = ["GIVEN", "RunContext", "RunInput", "RunOutput"]


@dataclass(slots=True, kw_only=True)
class RunInput:
    """What a run is asked. A hook may set ``input_content``: the model is asked that then.

    :param input_content: the message, or a member's task.
    :param images: as pydantic-ai has them: with a ``url``, or with ``data`` and ``media_type``. So are the others.
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
    """What a run answers. A hook may set ``content``: that is the answer then.

    :param content: text, or a JSON value where the answer has a form.
    :param content_type: "str", or the name of the form.
    :param tools: the tool calls: ``name``, ``args``, ``result``, ``is_error``.
    """

    run_id: str
    session_id: str
    content: Any
    content_type: str = "str"
    tools: Sequence[dict[str, Any]] = ()

    def get_content_as_string(self) -> str:
        """The content as text."""
        return self.content if isinstance(self.content, str) else jsontext.dumps(self.content)
