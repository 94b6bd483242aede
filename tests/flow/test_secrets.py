"""What is secret is told nobody: no answer and no line of the log has it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog

from musterd.features.accounts.service import AccountService
from musterd.http.routes import operations
from tests.support.app import Serve
from tests.support.http import ServerClient
from tests.support.tokens import SECRET, Issuer

KEY = "os-key-4711-xyzzy"
PROVIDER_KEY = "sk-provider-4711-xyzzy"
DATABASE_WORD = "db-word-4711-xyzzy"
ISSUER = Issuer(algorithm="HS256", key=SECRET)
SETTINGS: dict[str, dict[str, Any]] = {
    "key": {"security_key": KEY},
    "tokens": {"jwt_verification_key": SECRET, "jwt_algorithms": "HS256"},
    "nothing": {},
}


class Lines:
    """Everything that is logged, down to what is for developers."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, logger: object, name: str, event: structlog.typing.EventDict) -> str:
        self.texts.append(repr(event))
        raise structlog.DropEvent


@pytest.fixture
def lines() -> Any:
    before = structlog.get_config()
    log_lines = Lines()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, log_lines],
        wrapper_class=structlog.make_filtering_bound_logger("debug"),
        cache_logger_on_first_use=False,
    )
    yield log_lines
    structlog.configure(**before)


async def walk(client: ServerClient, headers: dict[str, str]) -> list[str]:
    """What every route answers: nothing sent, nonsense sent, and as it is asked for by mistake."""
    texts = []
    for operation in operations(client.server):
        path = re.sub(r"\{\w+\}", "demo-team", operation.path)
        if "/events" in path or "stream" in path or path == "/runs/changes":  # the same answers, without an end
            continue
        for sent in ({}, {"content": b"{"}, {"data": {"message": "hello", "stream": "false"}}):
            answer = await client.http.request(operation.method, path, headers=headers, **sent)
            texts += [answer.text, json.dumps(dict(answer.headers))]
    return texts


@pytest.mark.parametrize("mode", SETTINGS)
async def test_no_answer_and_no_line_has_a_secret(
    serve: Serve, lines: Lines, mode: str, monkeypatch: pytest.MonkeyPatch, database: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PROVIDER_KEY)
    async with serve(**SETTINGS[mode], auth_failures_per_minute=0) as client:
        token = ISSUER.token("root", "agent_os:admin")
        admin = {"key": f"Bearer {KEY}", "tokens": f"Bearer {token}", "nothing": ""}[mode]
        account = await client.http.post("/service-accounts", json={"name": "ci"}, headers={"authorization": admin})
        account_token = account.json()["token"]
        texts = []
        for authorization in (admin, f"Bearer {account_token}", f"Bearer {KEY}x", f"Bearer {token}x", f"Basic {KEY}"):
            texts += await walk(client, {"authorization": authorization})
        monkeypatch.setattr(client.server, "describe", lambda component: 1 // 0)
        texts += await walk(client, {"authorization": admin})
        await client.server.service(AccountService).tokens.use_written()
    assert any("ZeroDivisionError" in text for text in lines.texts), "the log is looked through"
    for secret in (KEY, SECRET, PROVIDER_KEY, token, token.rsplit(".", 1)[1], account_token):
        for text in (*texts, *lines.texts):
            assert secret not in text


def test_settings_do_not_show_their_secrets() -> None:
    from musterd import Settings

    text = repr(Settings(security_key=KEY, jwt_verification_key=SECRET))
    assert KEY not in text
    assert SECRET not in text
