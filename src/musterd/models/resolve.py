"""From a model's name to a pydantic-ai model that can be called.

A name that cannot work (unknown provider, missing package, missing key) is a
:class:`musterd.core.errors.DeclarationError` with one line that says what to do, raised when the server
starts and not in the middle of a run.
"""

import asyncio
import difflib
import os
import re
import sys
import threading
import typing
from collections.abc import Iterable
from typing import Any, Protocol

from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, infer_model
from pydantic_ai.providers import Provider, infer_provider

from musterd.core import garbage_collection
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.models.names import KINDS, LOCAL, SCRIPTED

_OPENAI_KINDS = frozenset({"openai", "openai-responses", "openai-chat"})
_NO_KEY = "no-key"  # the SDK wants one; servers behind OPENAI_BASE_URL often need none

_VARIABLE = re.compile(r"`([A-Z][A-Z0-9_]*_[A-Z0-9_]+)`")
_EXTRA = re.compile(r"pydantic-ai-slim\[([a-z0-9-]+)\]")
_EXTRAS = frozenset({"anthropic", "bedrock", "cohere", "google", "groq", "huggingface", "mistral", "xai"})

# A model is kept with its settings, so that the identity in the key stays taken while the entry lives.
_Key = tuple[str, int, str | None, str | None]
_resolved: dict[_Key, tuple[Settings, Model]] = {}
_making = threading.Lock()


class _Client(Protocol):
    async def close(self) -> None: ...


def _key(model: str, settings: Settings) -> _Key:
    return (model, id(settings), os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY"))


def resolve(model: str | Model, settings: Settings) -> Model:
    """The model that ``model`` names, the same object for the same name, settings and OpenAI endpoint.

    :param model: ``provider:name`` in pydantic-ai's form, ``local``, ``scripted``, or a pydantic-ai model,
        which is returned as it is.
    :raises DeclarationError: the name is unknown, or its package, key, weights or memory are missing.
    """
    if isinstance(model, Model):
        return model
    key = _key(model, settings)
    if (known := _resolved.get(key)) is not None:
        return known[1]
    with _making:
        if (known := _resolved.get(key)) is None:
            known = _resolved[key] = (settings, _make(model, settings))
    return known[1]


def check(model: str | Model, settings: Settings) -> None:
    """Find out whether ``model`` can be used, before anybody calls it.

    OpenAI's SDK, 25 MB of memory and a third of a second, stays unimported until the first call.

    :raises DeclarationError: the name is unknown, or its package, key, weights or memory are missing.
    """
    kind, _, rest = model.partition(":") if isinstance(model, str) else ("", "", "")
    if kind in _OPENAI_KINDS and rest:
        _openai_access(f"{kind}:{rest}")
    else:
        resolve(model, settings)


def are_loaded(models: Iterable[str | Model], settings: Settings) -> bool:
    """Whether :func:`load` of ``models`` would import nothing."""
    return all(isinstance(model, Model) or _key(model, settings) in _resolved for model in models)


async def load(models: Iterable[str | Model], settings: Settings) -> None:
    """Resolve ``models`` off the event loop: the first of a kind imports its SDK.

    What it imports is kept from the collector, which would look through all of it while the first runs wait.
    """
    missing = [model for model in models if not isinstance(model, Model) and _key(model, settings) not in _resolved]
    if missing:
        holder, known = object(), len(sys.modules)
        garbage_collection.hold(holder)
        try:
            await asyncio.to_thread(lambda: [resolve(model, settings) for model in missing])
        finally:
            let_go = garbage_collection.keep if len(sys.modules) > known else garbage_collection.let_go
            let_go(holder)


def warm(models: Iterable[str | Model], settings: Settings) -> None:
    """Begin in the background what the first call of these models would wait for: the weights of
    ``local``."""
    if LOCAL in {model for model in models if isinstance(model, str)}:
        from musterd.models.local.model import LocalModel

        local = resolve(LOCAL, settings)
        assert isinstance(local, LocalModel)
        local.warm()


async def close(settings: Settings) -> None:
    """Close the connections of every model that was resolved with ``settings``, and forget them."""
    for key, (owner, model) in list(_resolved.items()):
        if owner is settings:
            del _resolved[key]
            client: _Client | None = getattr(model, "client", None)
            if client is not None and hasattr(client, "close"):
                await client.close()


def _make(name: str, settings: Settings) -> Model:
    if name == SCRIPTED:
        from musterd.models.scripted import ScriptedModel

        return ScriptedModel()
    if name == LOCAL:
        from musterd.models.local.model import LocalModel

        return LocalModel(settings)
    kind, colon, rest = name.partition(":")
    if name != "test" and not (colon and rest):
        meant = difflib.get_close_matches(name, (LOCAL, SCRIPTED), n=1)
        cure = "write it as provider:model, such as openai:gpt-5, or use local or scripted."
        raise DeclarationError(f'Model "{name}": {cure}' + (f' Did you mean "{meant[0]}"?' if meant else ""))
    if kind in _OPENAI_KINDS:
        return _openai(name, kind, rest, settings)
    try:
        return infer_model(name, _quiet_provider)
    except (ImportError, UserError, ValueError) as error:
        raise DeclarationError(f'Model "{name}": {_cure(kind, str(error))}') from error


def _openai_access(name: str) -> tuple[str | None, str]:
    """The address and the key of OpenAI, or of any server that speaks its protocol (``OPENAI_BASE_URL``)."""
    base_url = os.environ.get("OPENAI_BASE_URL") or None
    api_key = os.environ.get("OPENAI_API_KEY") or (_NO_KEY if base_url else None)
    if api_key is None:
        raise DeclarationError(
            f'Model "{name}": set OPENAI_API_KEY (or OPENAI_BASE_URL for a server that needs no key).'
        )
    return base_url, api_key


def _openai(name: str, kind: str, rest: str, settings: Settings) -> Model:
    base_url, api_key = _openai_access(name)
    from musterd.models.openai_http import build_client, build_model

    client = build_client(base_url=base_url, api_key=api_key, settings=settings)
    if kind == "openai-chat":
        return build_model(rest, client)
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIResponsesModel(rest, provider=OpenAIProvider(openai_client=client))


def _quiet_provider(kind: str) -> Provider[Any]:
    """The provider, with its SDK's own retries off: retries are ours, counted and told."""
    provider = infer_provider(kind)
    if hasattr(provider.client, "max_retries"):
        provider.client.max_retries = 0
    return provider


def _cure(kind: str, reason: str) -> str:
    """What to do about an error of pydantic-ai's for a provider, in one line."""
    if extra := _EXTRA.search(reason):
        package = f"musterd[{extra[1]}]" if extra[1] in _EXTRAS else extra[0]
        return f'its package is missing, install it with pip install "{package}".'
    if variable := _VARIABLE.search(reason):
        return f"set {variable[1]}."
    if "Unknown" in reason:
        meant = difflib.get_close_matches(kind, _providers(), n=1)
        return f'unknown provider "{kind}".' + (f' Did you mean "{meant[0]}"?' if meant else "")
    return " ".join(reason.split())


def _providers() -> list[str]:
    """What may stand before the colon of a model's name."""
    from pydantic_ai.models import KnownModelName

    names = typing.get_args(KnownModelName.__value__)
    return sorted({*KINDS, *(name.partition(":")[0] for name in names if ":" in name)})
