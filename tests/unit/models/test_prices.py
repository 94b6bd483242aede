"""What calls cost: the library's prices, asked for once a minute."""

import pytest
from genai_prices import Usage as PricedUsage
from genai_prices import calc_price
from pydantic_ai.models.test import TestModel

from musterd.core.records import Usage
from musterd.models.prices import has_price, price
from musterd.models.scripted import ScriptedModel

CALLS = [(10, 0, 0, 5), (5_000, 1_000, 200, 300), (31_000, 0, 0, 4_000), (400_000, 100_000, 0, 9_000)]


@pytest.mark.parametrize(
    "model",
    ["openai:gpt-5-mini", "openai-chat:gpt-4o", "anthropic:claude-sonnet-4-5", "google:gemini-2.5-pro", "xai:grok-4"],
)
@pytest.mark.parametrize("call", CALLS)
def test_a_price_is_the_librarys(model: str, call: tuple[int, int, int, int]) -> None:
    sent, read, written, said = call
    provider, _, name = model.partition(":")
    priced_usage = PricedUsage(
        input_tokens=sent, cache_read_tokens=read, cache_write_tokens=written, output_tokens=said
    )
    usage = Usage(input_tokens=sent, cache_read_tokens=read, cache_write_tokens=written, output_tokens=said)
    listed = calc_price(priced_usage, name, provider_id=provider.removesuffix("-chat")).total_price
    assert price(model, usage) == pytest.approx(float(listed))


def test_models_of_this_process_cost_nothing() -> None:
    assert price("local", Usage(input_tokens=9)) == 0
    assert price(ScriptedModel(), Usage(input_tokens=9)) == 0


@pytest.mark.parametrize("model", ["openai:my-own", "nobody:gpt-4o", "test", TestModel()])
def test_a_model_without_a_list_price(model: object) -> None:
    assert not has_price(model)  # type: ignore[arg-type]
