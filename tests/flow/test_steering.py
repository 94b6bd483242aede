"""Messages on the wire."""

from dirty_equals import IsFloat, IsStr

from tests.support.http import House, problem, wrong_fields

PATH = "/teams/demo-team/runs/{}/messages"


async def test_a_message_is_stored_and_says_what_became_of_it(house: House) -> None:
    hold = house.model.hold("wait")
    run = await house.begin("[[DELEGATE writer-agent: wait]]", session_id="s1")
    await hold.reached.wait()
    path = PATH.format(run.run_id)
    answer = await house.http.post(path, json={"message": "Be brief"})
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
    assert await house.get(path, session_id="s1") == [expected]
    hold.release()
    assert (await house.ended(run))["status"] == "COMPLETED"
    assert await house.get(path, session_id="s1") == [{**expected, "taken_at": IsFloat(), "taken_path": "t1/m"}]


async def test_a_message_that_cannot_be(house: House) -> None:
    run = await house.run("hello", session_id="s1")
    path = PATH.format(run["run_id"])
    assert "has ended" in problem(await house.http.post(path, data={"message": "x"}), 409, "CONFLICT")
    assert wrong_fields(await house.http.post(path, data={"message": " "})) == [("body", "message")]
    problem(await house.http.post(PATH.format("none"), data={"message": "x"}), 404, "NOT_FOUND")
    problem(await house.http.post(path, data={"message": "x", "session_id": "other"}), 404, "NOT_FOUND")
    assert await house.get(path, session_id="s1") == []


async def test_a_key_makes_it_safe_to_send_again(house: House) -> None:
    hold = house.model.hold("wait")
    run = await house.begin("wait", session_id="s1")
    await hold.reached.wait()
    path, headers = PATH.format(run.run_id), {"idempotency-key": "k"}
    first = await house.http.post(path, data={"message": "x"}, headers=headers)
    again = await house.http.post(path, data={"message": "x"}, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    problem(await house.http.post(path, data={"message": "other"}, headers=headers), 409, "CONFLICT")
    hold.release()
