"""What a call of a model that runs here does before its answer begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CallProgress:
    """A stage of a call.

    :param stage: ``loading`` before the model is loaded, ``loaded`` after that, ``reading`` while it reads its prompt.
    :param read_tokens: how much of the prompt it has read.
    :param prompt_tokens: the length of the prompt.
    """

    stage: Literal["loading", "loaded", "reading"]
    read_tokens: int = 0
    prompt_tokens: int = 0


OnProgress = Callable[[CallProgress], None]
"""Called with each stage; while the model reads a long prompt, several times."""
