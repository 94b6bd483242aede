"""Turns a model's name into a pydantic-ai model.

A name that cannot work (unknown provider, missing package, missing key) raises a
:class:`musterd.core.errors.DeclarationError` with a one-line remedy when the server starts, not in the middle of a run.
"""

import os
import re
import sys
import threading
import typing
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider

from musterd.core import garbage_collection
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.core.suggestions import closest_match
from musterd.core.threads import in_thread
from musterd.declare.knowledge import BUILTIN_EMBEDDER, MINILM_EMBEDDER
from musterd.models import openai_types
from musterd.models.names import KINDS, LOCAL, SCRIPTED, model_in_use

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel

_OPENAI_KINDS = frozenset({"openai", "openai-responses", "openai-chat"})
_NO_KEY = "no-key"  # the SDK requires a key, but servers at OPENAI_BASE_URL often need none

_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]*_[A-Z0-9_]+)`")
_EXTRA = re.compile(r"pydantic-ai-slim\[([a-z0-9-]+)\]")
_EXTRAS = frozenset(
    {
        *("anthropic", "bedrock", "cohere", "google", "groq", "huggingface", "mistral", "xai"),
        *("sentence-transformers", "voyageai"),  # embedders only
    }
)

# The key holds id(settings), so the entry keeps the settings alive: otherwise a new object could get the same id.
_Key = tuple[str, int, str | None, str | None]
_resolved: dict[_Key, tuple[Settings, Model, Provider[Any] | None]] = {}
_resolved_embeddings: dict[_Key, "tuple[Settings, EmbeddingModel, Provider[Any] | None]"] = {}
"""The settings, the model and its provider."""
_creation_lock = threading.Lock()


class UnknownModel(DeclarationError):
    """No machine has a model of this name."""


def _key(model: str, settings: Settings) -> _Key:
    return (model, id(settings), os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY"))


def resolve(model: str | Model, settings: Settings) -> Model:
    """The model with this name. The same name, settings and OpenAI endpoint give the same object.

    :param model: ``provider:name`` in pydantic-ai's form, ``local``, ``scripted``, or a pydantic-ai model,
        which is returned as it is.
    :raises DeclarationError: the name is unknown, or its package, key, weights or memory are missing.
    """
    model = model_in_use(model, settings)
    if isinstance(model, Model):
        return model
    key = _key(model, settings)
    if (entry := _resolved.get(key)) is not None:
        return entry[1]
    with _creation_lock:
        # Check again under the lock: a second model of the same name would have connections that are never closed.
        if (entry := _resolved.get(key)) is None:
            entry = _resolved[key] = (settings, *_make(model, settings))
    return entry[1]


def check(model: str | Model, settings: Settings) -> None:
    """Check that ``model`` can be used, before the first call.

    For OpenAI's models this checks the environment only, because importing the SDK takes 25 MB of memory and a third of
    a second.

    :raises UnknownModel: the name is unknown.
    :raises DeclarationError: its package, key, weights or memory are missing.
    """
    model = model_in_use(model, settings)
    prefix, _, model_name = model.partition(":") if isinstance(model, str) else ("", "", "")
    if prefix in _OPENAI_KINDS and model_name:
        _openai_access(f'Model "{prefix}:{model_name}"')
    else:
        resolve(model, settings)


def problem_of_name(model: str | Model, settings: Settings) -> str | None:
    """The message about a model whose name is wrong on every machine, otherwise None.

    That this machine lacks the model's package, key or weights is no problem of its name.
    """
    try:
        check(model, settings)
    except UnknownModel as error:
        return error.message
    except DeclarationError:
        return None
    return None


def are_loaded(models: Iterable[str | Model], settings: Settings) -> bool:
    """Whether :func:`load` of ``models`` would import nothing."""
    return not _missing(models, settings)


async def load(models: Iterable[str | Model], settings: Settings) -> None:
    """Resolve ``models`` in a thread, because the first model of a provider imports its SDK.

    The imported objects are hidden from the garbage collector, which would otherwise scan all of them while the first
    runs wait.
    """
    missing = _missing(models, settings)
    if missing:
        holder, module_count = object(), len(sys.modules)
        garbage_collection.pause(holder)
        try:
            await in_thread(lambda: [resolve(model, settings) for model in missing])
        finally:
            has_imported = len(sys.modules) > module_count
            release = garbage_collection.freeze_and_resume if has_imported else garbage_collection.resume
            release(holder)


def _missing(models: Iterable[str | Model], settings: Settings) -> list[str]:
    """The names of the models that are in use and not resolved yet."""
    used = [model_in_use(model, settings) for model in models]
    return [model for model in used if not isinstance(model, Model) and _key(model, settings) not in _resolved]


def warm(models: Iterable[str | Model], settings: Settings) -> None:
    """Start loading the weights of ``local`` in the background, if it is among ``models``."""
    used = (model_in_use(model, settings) for model in models)
    if LOCAL in {model for model in used if isinstance(model, str)}:
        from musterd.models.local.model import LocalModel

        local = resolve(LOCAL, settings)
        assert isinstance(local, LocalModel)
        local.warm()


def resolve_embeddings(name: str, settings: Settings) -> "EmbeddingModel":
    """The embedding model with this name. The same name, settings and OpenAI endpoint give the same object.

    :param name: ``provider:name`` in pydantic-ai's form.
    :raises UnknownModel: the name is unknown.
    :raises DeclarationError: its package or key are missing.
    """
    key = _key(name, settings)
    with _creation_lock:
        if (entry := _resolved_embeddings.get(key)) is None:
            entry = _resolved_embeddings[key] = (settings, *_make_embeddings(name, settings))
    return entry[1]


async def close(settings: Settings) -> None:
    """Close the connections of every model that was resolved with ``settings``, and forget those models."""
    providers: list[Provider[Any] | None] = []
    for key, (owner, _, model_provider) in list(_resolved.items()):
        if owner is settings:
            del _resolved[key]
            providers.append(model_provider)
    for key, (owner, _, embedding_provider) in list(_resolved_embeddings.items()):
        if owner is settings:
            del _resolved_embeddings[key]
            providers.append(embedding_provider)
    for provider in providers:
        if provider is not None:
            from musterd.models.provider_http import close_provider

            await close_provider(provider)


def _make(name: str, settings: Settings) -> tuple[Model, Provider[Any] | None]:
    """The model, and its provider if that has connections."""
    if name == SCRIPTED:
        from musterd.models.scripted import ScriptedModel

        return ScriptedModel(), None
    if name == LOCAL:
        from musterd.models.local.model import LocalModel

        return LocalModel(settings), None
    prefix, colon, model_name = name.partition(":")
    if name != "test" and not (colon and model_name):
        remedy = (
            "the name has no provider — write it as provider:model, such as openai:gpt-5, or use local or scripted."
        )
        raise UnknownModel(f'Model "{name}": {remedy}{_suggestion(name, (LOCAL, SCRIPTED))}')
    if prefix in _OPENAI_KINDS:
        return _openai(name, prefix, model_name, settings)
    providers: list[Provider[Any]] = []

    def provider_of(prefix: str) -> Provider[Any]:
        providers.append(_limited_provider(prefix, settings))
        return providers[-1]

    try:
        model = infer_model(name, provider_of)
    except (ImportError, UserError, ValueError) as error:
        problem = UnknownModel if _is_unknown(str(error)) else DeclarationError
        raise problem(f'Model "{name}": {_remedy(prefix, str(error))}') from error
    return model, providers[-1] if providers else None


def _openai_access(label: str) -> tuple[str | None, str]:
    """The address and key of OpenAI or of a compatible server (``OPENAI_BASE_URL``).

    :param label: what needs them, for the error.
    """
    base_url = os.environ.get("OPENAI_BASE_URL") or None
    api_key = os.environ.get("OPENAI_API_KEY") or (_NO_KEY if base_url else None)
    if api_key is None:
        remedy = "set it, or set OPENAI_BASE_URL for a server that needs no key"
        raise DeclarationError(f"{label}: OPENAI_API_KEY is not set — {remedy}")
    return base_url, api_key


def _openai(name: str, prefix: str, model_name: str, settings: Settings) -> tuple[Model, Provider[Any]]:
    base_url, api_key = _openai_access(f'Model "{name}"')
    with openai_types.deferred():
        from pydantic_ai.providers.openai import OpenAIProvider

        from musterd.models.openai_http import build_client, build_model

    client = build_client(base_url=base_url, api_key=api_key, settings=settings)
    provider = OpenAIProvider(openai_client=client)
    if prefix == "openai-chat":
        return build_model(model_name, client, provider=provider), provider
    openai_types.load()
    from pydantic_ai.models.openai import OpenAIResponsesModel

    return OpenAIResponsesModel(model_name, provider=provider), provider


def _make_embeddings(name: str, settings: Settings) -> "tuple[EmbeddingModel, Provider[Any] | None]":
    from pydantic_ai.embeddings import infer_embedding_model

    prefix, colon, model_name = name.partition(":")
    if not (colon and model_name):
        form = "provider:model, such as openai:text-embedding-3-small, or use builtin or minilm."
        remedy = f"the name has no provider — write it as {form}"
        suggestion = _suggestion(name, (BUILTIN_EMBEDDER, MINILM_EMBEDDER))
        raise UnknownModel(f'Embedder "{name}": {remedy}{suggestion}')
    providers: list[Provider[Any]] = []

    def provider_of(prefix: str) -> Provider[Any]:
        providers.append(
            _openai_provider(name, settings) if prefix == "openai" else _limited_provider(prefix, settings)
        )
        return providers[-1]

    try:
        model = infer_embedding_model(name, provider_factory=provider_of)
    except (ImportError, UserError, ValueError) as error:
        problem = UnknownModel if _is_unknown(str(error)) else DeclarationError
        raise problem(f'Embedder "{name}": {_remedy(prefix, str(error))}') from error
    return model, providers[-1] if providers else None


def _openai_provider(name: str, settings: Settings) -> Provider[Any]:
    base_url, api_key = _openai_access(f'Embedder "{name}"')
    from pydantic_ai.providers.openai import OpenAIProvider

    from musterd.models.openai_http import build_client

    return OpenAIProvider(openai_client=build_client(base_url=base_url, api_key=api_key, settings=settings))


def _limited_provider(prefix: str, settings: Settings) -> Provider[Any]:
    provider = infer_provider(prefix)
    from musterd.models.provider_http import limit_provider  # after the provider, whose package may be missing

    return limit_provider(provider, settings)


def _remedy(prefix: str, reason: str) -> str:
    """A one-line remedy for pydantic-ai's error about a provider."""
    if extra := _EXTRA.search(reason):
        package = f"musterd[{extra[1]}]" if extra[1] in _EXTRAS else extra[0]
        return f'its package is missing, install it with pip install "{package}".'
    if variable := _VARIABLE.search(reason):
        return f"set {variable[1]}."
    if _is_unknown(reason):
        return f'unknown provider "{prefix}".{_suggestion(prefix, _providers())}'
    return " ".join(reason.split())


def _is_unknown(reason: str) -> bool:
    return "Unknown" in reason and not _EXTRA.search(reason) and not _VARIABLE.search(reason)


def _suggestion(name: str, names: Iterable[str]) -> str:
    meant = closest_match(name, names)
    return f' Did you mean "{meant}"?' if meant else ""


def _providers() -> list[str]:
    """The valid prefixes of model names."""
    from pydantic_ai.models import KnownModelName

    names = typing.get_args(KnownModelName.__value__)
    return sorted({*KINDS, *(name.partition(":")[0] for name in names if ":" in name)})
