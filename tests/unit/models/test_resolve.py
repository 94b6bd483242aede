"""From names to models, and what is said when a name cannot work."""

import os
import subprocess
import sys

import pytest
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.models.test import TestModel

from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.models.names import ModelInfo, describe
from musterd.models.resolve import are_loaded, check, close, resolve
from musterd.models.scripted import ScriptedModel

SETTINGS = Settings()


def test_a_model_is_itself() -> None:
    model = TestModel()
    assert resolve(model, SETTINGS) is model


def test_the_same_name_is_the_same_model() -> None:
    model = resolve("scripted", SETTINGS)
    assert isinstance(model, ScriptedModel)
    assert resolve("scripted", SETTINGS) is model
    assert resolve("scripted", Settings()) is not model


def test_one_model_may_take_the_place_of_all() -> None:
    settings = Settings(model_override="scripted")
    scripted = resolve("openai:without-a-key", settings)
    assert isinstance(scripted, ScriptedModel)
    assert resolve(TestModel(), settings) is scripted
    check("openai:without-a-key", settings)
    assert are_loaded(["openai:without-a-key"], settings)
    assert not are_loaded(["scripted"], Settings())


@pytest.mark.anyio
async def test_a_server_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    settings = Settings()
    chat = resolve("openai-chat:fake", settings)
    assert isinstance(chat, OpenAIChatModel)
    assert isinstance(resolve("openai:fake", settings), OpenAIResponsesModel)
    assert str(chat.client.base_url) == "http://127.0.0.1:9/v1/"
    assert chat.client.max_retries == 0
    await close(settings)
    assert resolve("openai-chat:fake", settings) is not chat
    await close(settings)


@pytest.mark.anyio
async def test_other_providers_do_not_retry_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "k")
    settings = Settings()
    model = resolve("deepseek:deepseek-chat", settings)
    assert isinstance(model, OpenAIChatModel)
    assert model.client.max_retries == 0
    await close(settings)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "gpt-5",
            "the name has no provider — write it as provider:model, such as openai:gpt-5, or use local or scripted.",
        ),
        (
            "openai:",
            "the name has no provider — write it as provider:model, such as openai:gpt-5, or use local or scripted.",
        ),
        ("openai:gpt-5", "OPENAI_API_KEY is not set — set it, or set OPENAI_BASE_URL for a server that needs no key"),
        ("openai-chat:x", "OPENAI_API_KEY is not set — set it, or set OPENAI_BASE_URL for a server that needs no key"),
        ("deepseek:x", "set DEEPSEEK_API_KEY."),
        ("nobody:x", 'unknown provider "nobody".'),
        ("opnai:gpt-5-mini", 'unknown provider "opnai". Did you mean "openai"?'),
        ("bedrok:x", 'unknown provider "bedrok". Did you mean "bedrock"?'),
        (
            "locl",
            "the name has no provider — write it as provider:model, such as openai:gpt-5, or use local or scripted. "
            'Did you mean "local"?',
        ),
    ],
)
def test_what_cannot_work_is_said_with_its_cure(name: str, words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        resolve(name, SETTINGS)
    assert caught.value.message == f'Model "{name}": {words}'


@pytest.mark.parametrize("provider", ["anthropic", "cohere", "groq", "mistral"])
def test_a_missing_package_is_named(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"pydantic_ai.providers.{provider}", None)
    monkeypatch.setitem(sys.modules, provider, None)
    with pytest.raises(DeclarationError) as caught:
        resolve(f"{provider}:x", SETTINGS)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("model", "info"),
    [
        ("openai-chat:gpt-5", ModelInfo(name="OpenAIChat", model="gpt-5", provider="OpenAI")),
        ("openai:gpt-5", ModelInfo(name="OpenAIResponses", model="gpt-5", provider="OpenAI")),
        ("anthropic:claude:1", ModelInfo(name="Claude", model="claude:1", provider="Anthropic")),
        ("scripted", ModelInfo(name="Scripted", model="scripted", provider="Scripted")),
        ("local", ModelInfo(name="Local", model="local", provider="Local")),
        ("else:m", ModelInfo(name="else", model="m", provider="else")),
        (ScriptedModel(), ModelInfo(name="Scripted", model="scripted", provider="Scripted")),
        (TestModel(), ModelInfo(name="TestModel", model="test", provider="test")),
    ],
)
def test_models_in_the_words_of_the_wire(model: str | Model, info: ModelInfo) -> None:
    assert describe(model) == info


def test_no_sdk_is_imported_before_its_first_use() -> None:
    code = (
        "import sys; from musterd.core.settings import Settings; from musterd.models.call import ModelCaller;"
        "from musterd.models.resolve import resolve; from musterd.models.names import describe;"
        "resolve('scripted', Settings()); describe('openai:gpt-5'); describe('anthropic:x');"
        "print({'openai', 'anthropic', 'aiohttp', 'xllamacpp'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_what_an_sdk_brings_is_not_looked_through_while_runs_wait() -> None:
    code = """if True:
        import asyncio, gc
        from musterd.core.settings import Settings
        from musterd.models.resolve import load
        kept, settings = [], Settings()
        for name in ("openai-chat:one", "openai-chat:another"):
            asyncio.run(load([name], settings))
            kept.append(gc.get_freeze_count())
        print(gc.isenabled(), kept[0] > 0, kept[1] <= kept[0])"""
    output = subprocess.check_output(
        [sys.executable, "-c", code], text=True, env={**os.environ, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    )
    assert output.split() == ["True"] * 3, "the collector is on; the SDK is kept from it; a name alone keeps nothing"
