"""Problems in words: the first ones, and how many more."""

import pytest
from pydantic import TypeAdapter, ValidationError

from musterd.core.problem_lists import problem_list, read_problems, shortened


def test_the_first_problems_are_listed() -> None:
    assert problem_list(["a: missing", "b: missing"]) == "a: missing; b: missing"
    listed = problem_list([f"a{place}: missing" for place in range(30)])
    assert listed.startswith("a0: missing; a1: missing")
    assert listed.endswith("a19: missing; and 10 more problems")


def test_a_long_problem_keeps_its_ends() -> None:
    assert shortened("x" * 1000) == "x" * 1000
    text = shortened("[" + "1," * 10_000 + '1] is not of type "string"')
    assert len(text) == 1001
    assert text.startswith("[1,1")
    assert text.endswith('1] is not of type "string"')


@pytest.mark.parametrize("number", [3, 5001])
def test_too_many_problems_are_counted(number: int) -> None:
    with pytest.raises(ValidationError) as failure:
        TypeAdapter(list[str]).validate_python([1] * number)
    details = read_problems(failure.value)
    assert details == "5001 problems, too many to list" if number > 3 else len(details) == 3
