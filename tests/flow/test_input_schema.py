"""A message that must have a form: checked before anything is stored, read by the model as it was checked."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import ModelRequest, UserPromptPart

from musterd import Agent, Team
from tests.support.app import Sample, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, wrong_fields

PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Place(BaseModel):
    """Where to look."""

    city: str
    days: int = 3


def served(model: HeldModel) -> Sample:
    return Sample(
        [Team(id="desk", model=model, members=[], input_schema=Place)],
        [Agent(id="solo", model=model, input_schema=PLACE)],
    )


def serving_typed_input(database: Path, model: HeldModel) -> Any:
    return in_process(app_on(database, served=served(model)), model)


def read_by(model: HeldModel) -> Any:
    return [
        part.content
        for message in model.calls[-1]
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]


async def test_the_model_reads_what_was_checked(database: Path) -> None:
    async with serving_typed_input(database, model := HeldModel()) as client:
        done = await client.run('{"days": "2", "city": "Paris"}', to="teams/desk")
        assert read_by(model) == ['{\n  "city": "Paris",\n  "days": 2\n}']
        assert json.loads(done["input"]["input_content"]) == {"city": "Paris", "days": 2}
        await client.run('{"city":  "Rome"}', to="agents/solo")
        assert read_by(model) == ['{"city":  "Rome"}'], "a JSON schema changes nothing"


@pytest.mark.parametrize("to", ["teams/desk", "agents/solo"])
@pytest.mark.parametrize("message", ["hello", "[]", '{"city": 1}', "{}", '{"city":', "[" * 100_000])
async def test_what_does_not_have_the_form_is_refused_before_anything_is_stored(
    database: Path, to: str, message: str
) -> None:
    async with serving_typed_input(database, model := HeldModel()) as client:
        answer = await client.post(message, to=to, stream="false", session_id="s1")
        assert wrong_fields(answer) == [("body", "message")]
        assert model.calls == []
        assert (await sessions(client)) == []


async def test_the_same_request_is_still_the_same(database: Path) -> None:
    async with serving_typed_input(database, model := HeldModel()) as client:
        keyed = {"to": "teams/desk", "headers": {"Idempotency-Key": "k"}}
        first = await client.run('{"city": "Paris"}', **keyed)
        again = await client.run('{"city": "Paris"}', **keyed)
        assert first["run_id"] == again["run_id"]
        assert len(model.calls) == 1


async def test_clients_are_told_the_form(database: Path) -> None:
    async with serving_typed_input(database, HeldModel()) as client:
        assert (await client.get("/teams/desk"))["input_schema"] == Place.model_json_schema()
        assert (await client.get("/agents/solo"))["input_schema"] == PLACE


async def sessions(client: ServerClient) -> list[Any]:
    stored: list[Any] = (await client.get("/sessions"))["data"]
    return stored
