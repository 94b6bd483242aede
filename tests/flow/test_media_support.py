"""Media that a model cannot read: refused before anything is stored or paid; members get what their own model reads."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import BinaryContent, ModelRequest, UserPromptPart
from pydantic_ai.profiles import ModelProfile

from musterd import Agent, Team, Workflow
from tests.support.app import Sample, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import problem, wrong_fields

PNG = b"\x89PNG\r\n\x1a\n rest"
PDF = b"%PDF-1.7"
IMAGE = ("a.png", PNG, "image/png")
TYPES = {"images": "image/png", "audio": "audio/wav", "videos": "video/mp4", "files": "application/pdf"}


class Blind(HeldModel):
    """Reads text alone."""

    reads_media = False


def prompts(model: HeldModel, call: int = -1) -> Any:
    """The user's message as the model was given it."""
    (part,) = [
        part
        for message in model.calls[call]
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    return part.content


@pytest.mark.parametrize("name", TYPES)
async def test_what_the_model_cannot_read_is_refused(database: Path, name: str) -> None:
    served = Sample([], [Agent(id="solo", model=(model := Blind()))])
    async with in_process(app_on(database, served=served), model) as client:
        media = json.dumps([{"content": base64.b64encode(b"abc").decode(), "mime_type": TYPES[name]}])
        fields = {"message": "hello", "stream": "false", name: media}
        answer = await client.http.post("/agents/solo/runs", data=fields)
        assert wrong_fields(answer) == [("body", name, "0")]
        assert "The model scripted (Scripted) cannot read" in problem(answer, 422, "VALIDATION_ERROR")
        assert (await client.get("/sessions"))["data"] == []
    assert model.calls == []


async def test_what_every_model_reads_is_not(database: Path) -> None:
    served = Sample([], [Agent(id="solo", model=(model := Blind()))])
    async with in_process(app_on(database, served=served), model) as client:
        text = ("files", ("a.txt", b"abc", "text/plain"))
        await client.run("hello", to="agents/solo", files=[text])
        assert prompts(model) == ["hello", '<file name="a.txt">\nabc\n</file>']
        url = json.dumps([{"url": "https://media.invalid/a.png"}])
        await client.run("hello", to="agents/solo", images=url)
        assert prompts(model)[1].startswith("<image")


async def test_only_some_documents_may_be_taken(database: Path) -> None:
    model = HeldModel()
    model._profile = ModelProfile(supported_document_media_types=frozenset({"text/plain"}))
    served = Sample([], [Agent(id="solo", model=model)])
    async with in_process(app_on(database, served=served), model) as client:
        answer = await client.post("hello", to="agents/solo", stream="false", files=[("files", ("a.pdf", PDF, ""))])
        assert "documents of the type application/pdf" in problem(answer, 422, "VALIDATION_ERROR")


async def test_media_may_be_kept_from_models(database: Path) -> None:
    served = Sample([], [Agent(id="solo", model=(model := Blind()), send_media_to_model=False)])
    async with in_process(app_on(database, served=served), model) as client:
        done = await client.run("hello", to="agents/solo", files=[("files", IMAGE)])
        assert prompts(model) == "hello"
        assert len(done["input"]["images"]) == 1


@pytest.mark.parametrize("words_it", [True, False])
async def test_a_member_gets_the_media_that_its_model_reads(database: Path, words_it: bool) -> None:
    leader, sees, blind, spared = HeldModel(), HeldModel(), Blind(), HeldModel()
    members = [
        Agent(id="sees", model=sees),
        Agent(id="blind", model=blind),
        Agent(id="spared", model=spared, send_media_to_model=False),
    ]
    team = Team(id="team", model=leader, members=members, determine_input_for_members=words_it)
    call = {member.id: {"member_id": member.id, **({"task": "look"} if words_it else {})} for member in members}
    message = " ".join(f"[[TOOL delegate_task_to_member {json.dumps(args)}]]" for args in call.values())
    async with in_process(app_on(database, served=Sample([team], [])), leader) as client:
        await client.run(message, to="teams/team", files=[("files", IMAGE)])
    said = "look" if words_it else message
    text, image = prompts(sees, 0)
    assert (text, isinstance(image, BinaryContent)) == (said, True)
    text, note = prompts(blind, 0)
    assert text == said
    assert "you cannot read images" in note
    assert prompts(spared, 0) == said


def images(model: HeldModel) -> list[bytes]:
    """The images in the last conversation that the model was given."""
    return [
        item.data
        for message in model.calls[-1]
        for part in message.parts
        if isinstance(part, UserPromptPart) and not isinstance(part.content, str)
        for item in part.content
        if isinstance(item, BinaryContent)
    ]


@pytest.mark.parametrize("to", ["teams/team", "workflows/flow"])
async def test_a_members_history_has_its_media(database: Path, to: str) -> None:
    leader, sees = HeldModel(), HeldModel()
    member = Agent(id="sees", model=sees, add_history_to_context=True)
    served = Sample([Team(id="team", model=leader, members=[member])], [], [Workflow(id="flow", steps=[member])])
    message = "[[DELEGATE sees: look]]" if to == "teams/team" else "look"
    async with in_process(app_on(database, served=served), leader) as client:
        await client.run(message, to=to, session_id="s1", files=[("files", IMAGE)])
        assert images(sees) == [PNG]
        await client.run(message, to=to, session_id="s1")
        assert images(sees) == [PNG], "the image of the run before"
        sees.profile = ModelProfile(supports_image_input=False)
        await client.run(message, to=to, session_id="s1")
        assert images(sees) == [], "another model may not read what the one before did"
