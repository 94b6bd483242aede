"""Whoever is not known to pass an address on is handed none: pydantic-ai would fetch it on this machine."""

import pytest
from pydantic_ai.models import Model
from pydantic_ai.models.test import TestModel

from musterd.core.settings import Settings
from musterd.models.image_addresses import passes_image_addresses_on
from musterd.models.resolve import close, resolve
from musterd.models.scripted import ScriptedModel


@pytest.mark.parametrize("name", ["openai:gpt-5", "openai-chat:gpt-5", "openai-responses:gpt-5"])
async def test_models_of_openai_pass_them_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    settings = Settings()
    assert passes_image_addresses_on(resolve(name, settings))
    await close(settings)


@pytest.mark.parametrize("model", [ScriptedModel(), TestModel()], ids=["scripted", "test"])
def test_others_are_handed_none(model: Model) -> None:
    assert not passes_image_addresses_on(model)
