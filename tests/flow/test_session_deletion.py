"""What narrows a deletion narrows it: a label that names another user or database deletes nothing."""

from typing import Any

import pytest

from musterd.store import sessions
from tests.support.http import House, problem

SEVERAL = {"session_ids": ["s"], "session_types": ["team"]}


async def delete(house: House, path: str, **query: str) -> Any:
    body = SEVERAL if path == "/sessions" else None
    return await house.http.request("DELETE", path, params=query, json=body)


@pytest.mark.parametrize("path", ["/sessions/s", "/sessions"])
async def test_another_user_s_label_deletes_nothing(house: House, path: str) -> None:
    await house.run(session_id="s", user_id="ada")
    assert (await delete(house, path, user_id="bob")).status_code == 204
    assert (await house.get("/sessions/s"))["user_id"] == "ada"
    assert (await delete(house, path, user_id="ada")).status_code == 204
    assert (await house.http.get("/sessions/s")).status_code == 404


async def test_a_label_is_looked_at_without_the_conversation(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.run(session_id="s", user_id="ada")
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "runs", None)
        assert (await delete(house, "/sessions/s", user_id="ada")).status_code == 204


@pytest.mark.parametrize("path", ["/sessions/s", "/sessions"])
async def test_another_database_deletes_nothing(house: House, path: str) -> None:
    await house.run(session_id="s")
    answer = await delete(house, path, db_id="elsewhere")
    assert problem(answer, 404, "NOT_FOUND") == "No database found with id 'elsewhere'"
    await house.get("/sessions/s")
    assert (await delete(house, path, db_id="musterd-db")).status_code == 204
    assert (await house.http.get("/sessions/s")).status_code == 404
