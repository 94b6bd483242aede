"""The errors of the client: what they say, and that they reach other processes."""

import inspect
import pickle
import re
from pathlib import Path

import httpx2
import pytest

from musterd.client import (
    CannotConnect,
    Client,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Run,
    RunFailed,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from musterd.client.errors import error_of
from musterd.client.runs import RunError
from musterd.core import errors

ERRORS = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"

URL = "http://user:password@host:7777/api/runs/r%2F1?q=secret"
HEADERS = {"authorization": "Bearer token-of-mine"}


def answer(status: int, **options: object) -> httpx2.Response:
    request = httpx2.Request("GET", URL, headers=HEADERS)
    return httpx2.Response(status, request=request, **options)  # type: ignore[arg-type]


def test_a_message_has_the_request_and_the_reason_but_no_secret() -> None:
    body = {"detail": "Run not found", "error_code": "NOT_FOUND", "request_id": "q1"}
    error = error_of(answer(404, json=body))
    assert str(error) == "GET http://host:7777/api/runs/r%2F1 was answered 404: Run not found [request q1]"
    assert (error.status, error.code, error.detail, error.request_id) == (404, "NOT_FOUND", "Run not found", "q1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": "<html>Bad Gateway</html>"}, "was answered 502: Bad Gateway"),
        ({"headers": {"location": "https://host/api"}}, "was answered 502: The server redirects to https://host/api."),
        ({"json": ["no object"]}, "was answered 502: Bad Gateway"),
    ],
)
def test_answers_of_something_else_than_the_server(options: dict[str, object], words: str) -> None:
    error = error_of(answer(502, **options))
    assert isinstance(error, ServerError)
    assert str(error).endswith(words)


ROWS = re.findall(r"^\| `\w+` \| `([A-Z_]+)` \| (\d{3}) \|", ERRORS.read_text(), flags=re.MULTILINE)
KINDS = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict, 429: TooManyRequests}


@pytest.mark.parametrize(("code", "status"), sorted({(code, int(status)) for code, status in ROWS}))
def test_a_program_can_tell_the_codes_of_the_server_apart(code: str, status: int) -> None:
    error = error_of(answer(status, json={"detail": "No.", "error_code": code}, headers={"retry-after": "7"}))
    assert type(error) is KINDS.get(status, InvalidInput if status < 500 else ServerError)
    assert (error.code, error.status, error.retry_after) == (code, status, 7.0)


@pytest.mark.parametrize("when", ["soon", "Mon, 01 Jan 2024 00:00:00 +99999999999999", "nan", ""])
def test_a_time_that_is_none_is_no_wait(when: str) -> None:
    assert error_of(answer(429, headers={"retry-after": when})).retry_after == 0


def test_the_reference_has_the_codes_of_the_servers_errors() -> None:
    kinds = {kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.RequestError)}
    assert {(kind.code, kind.status) for kind in kinds} <= {(code, int(status)) for code, status in ROWS}


def test_a_page_in_place_of_json_is_an_error_of_the_client() -> None:
    page = httpx2.MockTransport(lambda request: httpx2.Response(200, text="<html>", request=request))
    with (
        Client(http=httpx2.Client(base_url="http://host", transport=page)) as client,
        pytest.raises(
            ServerError, match=r"GET http://host/teams was answered 200: The answer is not JSON. Is this the URL"
        ),
    ):
        client.teams.list()


def failed_run() -> Run:
    error = RunError(code="model_error", message="No.", retryable=True)
    return Run(run_id="r1", session_id="s1", status="ERROR", component_id="desk", error=error)


def test_errors_can_be_sent_to_another_process() -> None:
    invalid = error_of(answer(422, json={"detail": "No.", "errors": [{"loc": ["body", "a", 0], "msg": "Wrong."}]}))
    request = httpx2.Request("GET", URL)
    run_failed = RunFailed.of(failed_run(), "failed")
    for error in (invalid, run_failed, CannotConnect.of(request, OSError("refused"), 0)):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what this test has pickled
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert isinstance(invalid, InvalidInput)
    assert invalid.fields == {"a.0": "Wrong."}


def test_a_run_that_did_not_complete_says_why() -> None:
    with pytest.raises(RunFailed, match=r"^run r1 of desk failed: No\. \(model_error\)$") as caught:
        failed_run().require_completed()
    assert caught.value.run == failed_run()


def test_an_answer_of_fastapi_is_words_too() -> None:
    problems = [{"type": "missing", "loc": ["body", "message"], "msg": "Field required", "input": None}]
    error = error_of(answer(422, json={"detail": problems}))
    assert isinstance(error, InvalidInput)
    assert (error.detail, error.fields) == ("message: Field required", {"message": "Field required"})


@pytest.mark.parametrize("body", [{"detail": ["No."]}, {"detail": "No.", "errors": ["No."]}, {"errors": [{"loc": 1}]}])
def test_an_answer_of_another_form_is_an_error_too(body: object) -> None:
    error = error_of(answer(422, json=body))
    assert isinstance(error, InvalidInput)
    assert error.fields == {}
