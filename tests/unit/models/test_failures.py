"""What a client reads when a model fails."""

import pytest
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    UnexpectedModelBehavior,
    UserError,
)

from musterd.models.failures import MESSAGE_CHARS, Failure, explain, safe


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "too long"}}, "too long"),
        ({"message": "too\nlong"}, "too long"),
        ({"detail": "gone"}, "gone"),
        ("plain words", "plain words"),
        ("a\x1b[31m red\u202eder", "a [31m red der"),
        ("\n<html><script>alert(1)</script>", "The model's provider answered 400"),
        ({"error": {"message": {"error": {"message": "deep"}}}}, "The model's provider answered 400"),
        ({"error": []}, "The model's provider answered 400"),
        (None, "The model's provider answered 400"),
    ],
)
def test_the_providers_own_words_are_kept(body: object, message: str) -> None:
    assert explain(ModelHTTPError(400, "m", body)) == Failure(message=message, retryable=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://user:pw@api.example.com/v1?k=1 now", "see [address] now"),
        ("wrong key sk-proj-abcdef123456", "wrong key [key]"),
        ("header Bearer abc.def", "header [key]"),
        ("AIzaSyA1234567890123456789012", "[key]"),
        ("a task-oriented sk-etch", "a task-oriented sk-etch"),
    ],
)
def test_addresses_and_keys_are_not_shown(text: str, expected: str) -> None:
    assert safe(text) == expected


def test_long_words_are_cut() -> None:
    assert len(safe("x" * 10_000)) == MESSAGE_CHARS


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ModelHTTPError.for_category(ModelQuotaExceededError, status_code=429, model_name="m"), False),
        (ModelHTTPError.for_category(ModelRateLimitError, status_code=429, model_name="m"), True),
        (ModelHTTPError(500, "m", headers={"x-should-retry": "false"}), False),
        (ModelRateLimitError("m", "slow down"), True),
        (ModelConnectionError("m", "http://10.0.0.1 refused"), True),
        (ModelAPIError("m", "odd"), False),
        (UnexpectedModelBehavior("odd"), False),
        (UserError("odd"), False),
    ],
)
def test_which_errors_may_pass(error: Exception, retryable: bool) -> None:
    failure = explain(error)
    assert failure.retryable is retryable
    assert "10.0.0.1" not in failure.message
