"""Messages on the wire."""

from pathlib import Path
from typing import Any

from dirty_equals import IsFloat, IsStr

from musterd import Agent, Team
from musterd.guards import InputCheckError, PIIDetectionGuardrail, RunInput
from musterd.store import runs
from tests.support.app import Sample, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient, problem, wrong_fields
from tests.support.store import of_run

PATH = "/teams/demo-team/runs/{}/messages"


async def test_a_message_is_stored_and_says_what_became_of_it(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    run = await client.begin("[[DELEGATE writer-agent: wait]]", session_id="s1")
    await hold.reached.wait()
    path = PATH.format(run.run_id)
    answer = await client.http.post(path, json={"message": "Be brief"})
    assert answer.status_code == 202
    expected = {
        "id": IsStr(),
        "run_id": run.run_id,
        "message": "Be brief",
        "sent_by": "client",
        "created_at": IsFloat(),
        "taken_at": None,
        "taken_path": None,
        "next_run_id": None,
    }
    assert answer.json() == {**expected, "session_id": "s1"}
    assert await client.get(path, session_id="s1") == [expected]
    hold.release()
    assert (await client.ended(run))["status"] == "COMPLETED"
    assert await client.get(path, session_id="s1") == [{**expected, "taken_at": IsFloat(), "taken_path": "t1/m"}]


async def test_a_message_that_cannot_be(client: ServerClient) -> None:
    run = await client.run("hello", session_id="s1")
    path = PATH.format(run["run_id"])
    assert "has finished" in problem(await client.http.post(path, data={"message": "x"}), 409, "CONFLICT")
    assert wrong_fields(await client.http.post(path, data={"message": " "})) == [("body", "message")]
    problem(await client.http.post(PATH.format("none"), data={"message": "x"}), 404, "NOT_FOUND")
    problem(await client.http.post(path, data={"message": "x", "session_id": "other"}), 404, "NOT_FOUND")
    assert await client.get(path, session_id="s1") == []


async def test_hooks_look_at_a_message_as_at_a_request(database: Path) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def note(run_input: RunInput, session_state: dict[str, Any]) -> None:
        seen.append((run_input.input_content, session_state))
        session_state["changed"] = True

    def no_pets(run_input: RunInput) -> None:
        if "dog" in run_input.input_content:
            raise InputCheckError("No pets.", check_trigger="pets")

    model = HeldModel()
    writer = Agent(id="writer-agent", model=model, pre_hooks=[no_pets])
    demo = Team(id="demo-team", model=model, members=[writer], pre_hooks=[PIIDetectionGuardrail(mask_pii=True), note])
    async with in_process(app_on(database, served=Sample([demo], [])), model) as client:
        hold = model.hold("wait")
        run = await client.begin("[[DELEGATE writer-agent: wait]]", session_id="s1", session_state='{"a": 1}')
        await hold.reached.wait()
        path = PATH.format(run.run_id)
        masked = await client.http.post(path, data={"message": "Write to ana@example.com about the dog"})
        assert masked.json()["message"] == "Write to *************** about the dog"
        (member,) = [one for one in await client.get("/sessions/s1/run-previews", type="team") if one.get("agent_id")]
        refused = await client.http.post(path, data={"message": "A dog", "member_run_id": member["run_id"]})
        assert wrong_fields(refused) == [("body", "message")]
        assert "No pets." in refused.text
        assert [one["message"] for one in await client.get(path, session_id="s1")] == [masked.json()["message"]]
        hold.release()
        done = await client.ended(run)
    assert (done["status"], done["session_state"]) == ("COMPLETED", {"a": 1, "changed": True})
    assert [text for text, _ in seen[1:]] == [masked.json()["message"], "A dog"]
    assert users_words(model.conversation()) == ["[[DELEGATE writer-agent: wait]]", masked.json()["message"]]


def users_words(conversation: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for message in conversation if message["role"] == "user"]


async def test_a_key_makes_it_safe_to_send_again(client: ServerClient) -> None:
    hold = client.model.hold("wait")
    run = await client.begin("wait", session_id="s1")
    await hold.reached.wait()
    path, headers = PATH.format(run.run_id), {"idempotency-key": "k"}
    first = await client.http.post(path, data={"message": "x"}, headers=headers)
    again = await client.http.post(path, data={"message": "x"}, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    problem(await client.http.post(path, data={"message": "other"}, headers=headers), 409, "CONFLICT")
    hold.release()


async def test_a_member_shows_its_own_steps_and_messages_alone(client: ServerClient) -> None:
    """Whoever may look at the member's agent alone learns nothing of what its leader did and was told."""
    hold = client.model.hold("wait", after=1)
    run = await client.begin("[[DELEGATE weather-agent: wait]]", session_id="s1", run_id="r1")
    await hold.reached.wait()
    (member,) = [row for row in await client.server.database.read(of_run(runs.tree, "r1")) if row.parent_id is not None]
    top, own = "/teams/demo-team/runs/r1", f"/agents/weather-agent/runs/{member.run_id}"
    for words, to in (("to the leader", {}), ("to the member", {"member_run_id": member.run_id})):
        answer = await client.http.post(f"{top}/messages", data={"message": words, "session_id": "s1", **to})
        assert answer.status_code == 202, answer.text
    hold.release()
    await client.ended(run)
    assert [one["message"] for one in await client.get(f"{own}/messages", session_id="s1")] == ["to the member"]
    assert len(await client.get(f"{top}/messages", session_id="s1")) == 2
    every = [step["path"] for step in await client.get(f"{top}/steps", session_id="s1")]
    steps = [step["path"] for step in await client.get(f"{own}/steps", session_id="s1")]
    assert steps == [path for path in every if path.startswith(f"{member.path}/")]
    assert 0 < len(steps) < len(every)
