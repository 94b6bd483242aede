"""The problems of a value in words, for who sent it: the first ones, each in a short text, and how many more there are.

A value of a megabyte can have a million problems, and the text of each can contain the value.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MAX_LISTED = 20
MAY_BE_MORE = "there may be more problems"
"""The last problem of a list if only the first one was looked for."""
_MAX_READ = 5000
"""pydantic makes the texts of all problems or of none."""
_LONGEST, _END = 1000, 200


def problem_list(problems: Sequence[str], more: int = 0) -> str:
    """The first problems as one text, and how many more there are; ``more`` are not among ``problems``."""
    listed = [shortened(problem) for problem in problems[:MAX_LISTED]]
    if more := more + len(problems) - len(listed):
        listed.append(f"and {more} more problems")
    return "; ".join(listed)


def shortened(problem: str) -> str:
    """The text without its middle if it is long: a message may begin with the value, and end with what is wrong."""
    return problem if len(problem) <= _LONGEST else f"{problem[: _LONGEST - _END]}…{problem[-_END:]}"


def too_many_problems(error: "ValidationError") -> str | None:
    """How many problems pydantic found, in words, if there are too many to read them all."""
    count = error.error_count()
    return f"{count} problems, too many to list" if count > _MAX_READ else None


def read_problems(error: "ValidationError") -> "list[ErrorDetails] | str":
    """The problems that pydantic found; only their number, in words, if there are too many to read them all."""
    if (too_many := too_many_problems(error)) is not None:
        return too_many
    return error.errors(include_url=False, include_context=False, include_input=False)
