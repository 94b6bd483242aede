"""The output of commands that list something: a line each for people, or one line of JSON as the API answers."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from musterd.core import jsontext

T = TypeVar("T")


def print_list(
    rows: Iterable[T], line_of: Callable[[T], str], object_of: Callable[[T], Mapping[str, object]], *, as_json: bool
) -> int:
    """Print all rows, and return the exit code.

    :param object_of: gives a row in the form that the API has.
    """
    if as_json:
        print(jsontext.dumps({"data": [object_of(row) for row in rows]}))  # noqa: T201 - the output of the command
        return 0
    for row in rows:
        print(line_of(row))  # noqa: T201
    return 0
