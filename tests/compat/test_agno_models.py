"""Files that declare their agents with Agno's own classes: options of their models that musterd does not have."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from musterd.agno import models
from musterd.core.errors import DeclarationError
from tests.support.agno_apps import Load

MODELS = '''
import os
from dataclasses import dataclass, field
from typing import Any

from agno.agent import Agent
from agno.models.base import Model
from agno.models.deepseek import DeepSeek
from agno.models.openai import OpenAIChat
from agno.models.xai import xAI


class Unusual(Model):
    """A model of a provider that musterd does not have."""

    invoke = ainvoke = invoke_stream = ainvoke_stream = None
    _parse_provider_response = _parse_provider_response_delta = None


@dataclass
class Gemini(Unusual):
    """Looks like Agno's, which needs Google's packages."""

    search: bool = False
    url_context: bool = False
    safety_settings: Any = None
    thinking_budget: Any = None
    vertexai: bool = False
    project_id: Any = None
    location: Any = None
    api_key: Any = None
    client: Any = None


@dataclass
class Claude(Unusual):
    """Looks like Agno's, which needs Anthropic's package."""

    api_key: Any = None
    auth_token: Any = None
    client_params: Any = None


@dataclass
class Cerebras(Unusual):
    """Looks like Agno's, which needs the package of Cerebras."""

    api_key: Any = None


@dataclass
class Ollama(Unusual):
    """Looks like Agno's, which needs Ollama's package."""

    host: Any = None
    api_key: Any = field(default_factory=lambda: os.getenv("OLLAMA_API_KEY"))


Gemini.__module__ = "agno.models.google.gemini"
Claude.__module__ = "agno.models.anthropic.claude"
Cerebras.__module__ = "agno.models.cerebras.cerebras"
Ollama.__module__ = "agno.models.ollama.chat"
'''
TOOL = "is not supported: list a function or an MCP server among the tools instead"
VARIABLES = "is not supported: set GOOGLE_CLOUD_PROJECT"


@pytest.mark.parametrize(
    ("model", "problems"),
    [
        ("Gemini(id='g', search=True, url_context=True)", [f"search= {TOOL}", f"url_context= {TOOL}"]),
        ("Gemini(id='g', safety_settings=['strict'])", ["safety_settings= is not supported: leave it out if"]),
        ("Gemini(id='g', vertexai=True, project_id='p', location='l')", [f"project_id= {VARIABLES}", "location="]),
        ("Gemini(id='g', client=object())", ["client= is not supported for this provider"]),
        (
            "Claude(id='c', client_params={'base_url': 'http://127.0.0.1:9'})",
            ["client_params= is not supported for this"],
        ),
        ("Claude(id='c', auth_token='t')", ["auth_token= is not supported: set api_key= instead"]),
        ("xAI(id='grok', api_key='k', search_parameters={'mode': 'on'})", [f"search_parameters= {TOOL}"]),
        ("OpenAIChat(id='gpt', system_prompt='Be kind.')", ["system_prompt= is not supported: say it in the instruc"]),
    ],
)
def test_an_option_that_changes_what_a_run_does_is_refused(load: Load, model: str, problems: list[str]) -> None:
    with pytest.raises(DeclarationError) as refused:
        load(f"{MODELS}\nsolo = Agent(name='Solo', model={model})\n", model_override=None)
    place, _, reason = refused.value.message.partition(" cannot be used — ")
    assert place == f"shop.py:{len(MODELS.splitlines()) + 2}: agent 'Solo': its model {model.partition('(')[0]}"
    assert [problem for problem in problems if problem not in reason] == []


@pytest.mark.parametrize("variable", [None, "key-of-team-a", "key-of-team-b"])
def test_a_declared_key_is_used_whatever_the_variables_are(
    load: Load, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.setenv("TEAM_B_KEY", "key-of-team-b")
    monkeypatch.delenv("CEREBRAS_API_KEY", raising=False)
    if variable is not None:
        monkeypatch.setenv("CEREBRAS_API_KEY", variable)
    loaded = load(
        f"{MODELS}\nsolo = Agent(name='Solo', model=Cerebras(id='c', api_key=os.environ['TEAM_B_KEY']))\n",
        model_override=None,
    )
    model: Any = loaded.registry.agents["solo"].model
    assert (model.system, model.client.api_key) == ("cerebras", "key-of-team-b")


def test_a_model_on_google_cloud_does_not_use_the_key_as_in_agno(load: Load) -> None:
    loaded = load(
        f"{MODELS}\nsolo = Agent(name='Solo', model=Gemini(id='g', vertexai=True, api_key='k'))\n", model_override=None
    )
    assert loaded.registry.agents["solo"].model == "google-cloud:g"


@pytest.mark.parametrize(
    ("model", "variables", "address", "key"),
    [
        ("Ollama(id='o')", {"OLLAMA_API_KEY": "k"}, "https://ollama.com/v1/", "k"),
        ("Ollama(id='o', api_key='own')", {}, "https://ollama.com/v1/", "own"),
        ("Ollama(id='o', api_key='own')", {"OLLAMA_HOST": "http://127.0.0.1:9"}, "https://ollama.com/v1/", "own"),
        ("Ollama(id='o', host='http://127.0.0.1:9/')", {"OLLAMA_API_KEY": "k"}, "http://127.0.0.1:9/v1/", "k"),
        ("Ollama(id='o')", {"OLLAMA_HOST": "http://127.0.0.1:9"}, "http://127.0.0.1:9/v1/", "api-key-not-set"),
        ("Ollama(id='o')", {}, "http://localhost:11434/v1/", "api-key-not-set"),
        (
            "Ollama(id='o', api_key='own')",
            {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1", "OLLAMA_API_KEY": "k"},
            "http://127.0.0.1:9/v1/",
            "own",
        ),
    ],
)
def test_an_ollama_model_with_a_key_uses_ollama_cloud(
    load: Load, monkeypatch: pytest.MonkeyPatch, model: str, variables: dict[str, str], address: str, key: str
) -> None:
    for name in ("OLLAMA_API_KEY", "OLLAMA_HOST", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    loaded = load(f"{MODELS}\nsolo = Agent(name='Solo', model={model})\n", model_override=None)
    converted: Any = loaded.registry.agents["solo"].model
    assert (str(converted.client.base_url), converted.client.api_key) == (address, key)


def test_an_override_names_what_is_refused_or_lost_without_it(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    loaded = load(
        f"""{MODELS}
unusual = Agent(model=Unusual(id="u"))
searching = Agent(id="searching", model=Gemini(id="g", search=True))
thinking = Agent(model=Gemini(id="g", thinking_budget=9))
speaking = Agent(model=OpenAIChat(id="gpt", audio={{}}))
without_account = Agent(model=DeepSeek(id="deepseek-chat"))
"""
    )
    assert {component.model for component in loaded.registry.agents.values()} == {"scripted"}
    refused = "is not served — it is refused without MUSTERD_MODEL_OVERRIDE:"
    lost = "is not served — models of musterd have no such option"
    assert [line.partition(": ")[2] for line in loaded.report.lines()] == [
        f"this agent: its model Unusual {refused} musterd has no such model",
        f"agent 'searching': its model Gemini {refused} search= {TOOL}",
        f"Gemini(thinking_budget=…) {lost}",
        f"OpenAIChat(audio=…) {lost}",
    ]


def test_the_named_options_are_options_of_agnos_models(importable_agno: Path) -> None:
    options = set()
    for file in (importable_agno / "agno" / "models").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                options.add(node.target.id)
    tables: list[Iterable[str]] = [
        *(models._SETTINGS, models._OPENAI_SETTINGS, models._ANTHROPIC_SETTINGS, models._CONNECTION, models._AZURE),
        *(models._ADDRESSES, models._FIXES, models._WITHOUT_EFFECT),
    ]
    named = {name for table in tables for name in table}
    assert named - options == set()
    assert models._WITHOUT_EFFECT.isdisjoint(models._FIXES)
