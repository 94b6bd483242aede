"""The arguments of a function that is a workflow: texts of a form, which the function gets in its own types."""

from pathlib import Path
from typing import Any

import pytest

from musterd import Workflow
from tests.support.app import Sample, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import wrong_fields

TO = "workflows/report"


def report(
    workflow: Any, execution_input: Any, count: int, pages: list[int] | None = None, note: str | None = None
) -> str:
    return f"{execution_input.input}: {count=}, {pages=}, {note=}"


def serving_report(database: Path) -> Any:
    model = HeldModel()
    served = Sample([], [], workflows=[Workflow(id="report", steps=report)])
    return in_process(app_on(database, served=served), model)


async def test_the_function_gets_its_own_types(database: Path) -> None:
    async with serving_report(database) as client:
        done = await client.run("tea", to=TO, count="3", pages="[2, 3]", note="[4]")
        assert done["content"] == "tea: count=3, pages=[2, 3], note='[4]'"
        done = await client.run("tea", to=TO, count="3")
        assert done["content"] == "tea: count=3, pages=None, note=None"


@pytest.mark.parametrize(
    ("fields", "place"),
    [({}, "count"), ({"count": "few"}, "count"), ({"count": "3", "pages": "two"}, "pages")],
)
async def test_what_is_missing_or_of_another_type_is_refused(
    database: Path, fields: dict[str, str], place: str
) -> None:
    async with serving_report(database) as client:
        answer = await client.post("tea", to=TO, stream="false", **fields)
        assert wrong_fields(answer) == [("body", place)]
