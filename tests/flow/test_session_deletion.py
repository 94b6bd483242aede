"""What narrows a deletion narrows it: a label that names another user or database deletes nothing."""

from typing import Any

import pytest

from musterd.store import sessions
from tests.support.http import ServerClient, problem

SEVERAL = {"session_ids": ["s"], "session_types": ["team"]}


async def delete(client: ServerClient, path: str, **query: str) -> Any:
    body = SEVERAL if path == "/sessions" else None
    return await client.http.request("DELETE", path, params=query, json=body)


@pytest.mark.parametrize("path", ["/sessions/s", "/sessions"])
async def test_another_user_s_label_deletes_nothing(client: ServerClient, path: str) -> None:
    await client.run(session_id="s", user_id="ada")
    assert (await delete(client, path, user_id="bob")).status_code == 204
    assert (await client.get("/sessions/s"))["user_id"] == "ada"
    assert (await delete(client, path, user_id="ada")).status_code == 204
    assert (await client.http.get("/sessions/s")).status_code == 404


async def test_a_label_is_looked_at_without_the_conversation(
    client: ServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.run(session_id="s", user_id="ada")
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "runs", None)
        assert (await delete(client, "/sessions/s", user_id="ada")).status_code == 204


@pytest.mark.parametrize("path", ["/sessions/s", "/sessions"])
async def test_another_database_deletes_nothing(client: ServerClient, path: str) -> None:
    await client.run(session_id="s")
    answer = await delete(client, path, db_id="elsewhere")
    assert problem(answer, 404, "NOT_FOUND") == "No database found with id 'elsewhere'"
    await client.get("/sessions/s")
    assert (await delete(client, path, db_id="musterd-db")).status_code == 204
    assert (await client.http.get("/sessions/s")).status_code == 404
