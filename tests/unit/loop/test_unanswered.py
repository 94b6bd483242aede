"""A model that refuses, or whose tokens end before its answer, fails the run and is not asked again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai.messages import FinishReason, ModelResponse
from pydantic_ai.models import StreamedResponse
from structlog.testing import capture_logs

from musterd import Agent
from musterd.core.errors import ModelFailed
from tests.support.loop import LoopHarness, TurnModel


class City(BaseModel):
    name: str


class EndingModel(TurnModel):
    """A model whose provider says why each answer ended."""

    def __init__(self, *turns: Any, reason: FinishReason, refusal: str = "") -> None:
        self.reason, self.refusal = reason, refusal
        super().__init__(*turns)

    @asynccontextmanager
    async def request_stream(self, *arguments: Any, **options: Any) -> AsyncIterator[StreamedResponse]:
        async with super().request_stream(*arguments, **options) as stream:
            get = stream.get

            def ended() -> ModelResponse:
                details = {"refusal": self.refusal} if self.refusal else None
                return replace(get(), finish_reason=self.reason, provider_details=details)

            stream.get = ended  # type: ignore[method-assign]
            yield stream


async def failure_of(spec: Agent) -> ModelFailed:
    with pytest.raises(ModelFailed) as caught:
        await LoopHarness(spec).drive()
    return caught.value


@pytest.mark.parametrize("schema", [None, City])
async def test_a_refusal_fails_the_run_at_once(schema: type[BaseModel] | None) -> None:
    model = EndingModel("", "another try", reason="content_filter", refusal="I can not help with that.")
    failure = await failure_of(Agent(id="solo", model=model, output_schema=schema))
    assert (failure.code, failure.retryable) == ("content_filter", False)
    assert failure.message == "The model or its provider refused to answer: I can not help with that."
    assert len(model.seen) == 1


async def test_a_refusal_in_words_is_not_corrected() -> None:
    model = EndingModel("I would rather not", "another try", reason="content_filter")
    failure = await failure_of(Agent(id="solo", model=model, output_schema=City))
    assert (failure.code, failure.message) == ("content_filter", "The model or its provider refused to answer.")
    assert len(model.seen) == 1


async def test_tokens_that_ended_before_the_answer_fail_the_run() -> None:
    failure = await failure_of(Agent(id="solo", model=EndingModel("", reason="length")))
    assert (failure.code, failure.retryable) == ("max_tokens", False)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_what_there_is_of_a_cut_answer_is_the_answer(reason: FinishReason) -> None:
    with capture_logs() as lines:
        output = await LoopHarness(Agent(id="solo", model=EndingModel("Half of", reason=reason))).drive()
    assert output.content == "Half of"
    assert [line["reason"] for line in lines if line["event"] == "model answer cut off"] == [reason]


@pytest.mark.parametrize("schema", [None, City])
async def test_a_refusal_of_the_output_model_fails_the_run(schema: type[BaseModel] | None) -> None:
    words = EndingModel("", "another try", reason="content_filter")
    spec = Agent(id="solo", model=TurnModel("a draft"), output_model=words, output_schema=schema)
    assert (await failure_of(spec)).code == "content_filter"
    assert len(words.seen) == 1
