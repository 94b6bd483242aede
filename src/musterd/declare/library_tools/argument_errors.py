"""What a model reads if a library refuses the arguments of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from musterd.core.problem_lists import problem_list, read_problems
from musterd.declare.tool_errors import ToolFailed

if TYPE_CHECKING:
    from pydantic import ValidationError


def wrong_arguments(error: ValidationError) -> ToolFailed:
    """The failure of a call whose arguments are not valid: each one with what is wrong with it."""
    details = read_problems(error)
    problems = (
        [f"There are {details}"]
        if isinstance(details, str)
        else [f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details]
    )
    return ToolFailed(f"Wrong arguments. {problem_list(problems)}. Correct them and call again.")
