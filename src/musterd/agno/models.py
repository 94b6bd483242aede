"""Converts Agno's models to names of musterd's models, or to pydantic-ai's models if options are set."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from musterd.agno.report import Report
from musterd.core.errors import DeclarationError
from musterd.core.settings import Settings
from musterd.declare.source_location import Place, declaration_error

if TYPE_CHECKING:
    from pydantic_ai.models import Model

DEFAULT = "openai-chat:gpt-4o"
"""The model of an agent or team without one, as in Agno."""

_PREFIXES = {
    "anthropic": "anthropic",
    "aws": "bedrock",
    "azure": "azure",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google": "google",
    "groq": "groq",
    "huggingface": "huggingface",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "nebius": "nebius",
    "ollama": "ollama",
    "openrouter": "openrouter",
    "together": "together",
    "vercel": "vercel",
}
"""The prefixes of musterd's names, by the packages of Agno's models, except for OpenAI, which has two."""

_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "random_seed": "seed",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "parallel_tool_calls": "parallel_tool_calls",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
    "timeout": "timeout",
    "extra_headers": "extra_headers",
    "default_headers": "extra_headers",
    "extra_body": "extra_body",
}
_OPENAI_SETTINGS = {
    "reasoning_effort": "openai_reasoning_effort",
    "reasoning_summary": "openai_reasoning_summary",
    "service_tier": "openai_service_tier",
    "store": "openai_store",
    "truncation": "openai_truncation",
    "user": "openai_user",
    "verbosity": "openai_text_verbosity",
    "logprobs": "openai_logprobs",
    "top_logprobs": "openai_top_logprobs",
}
_ANTHROPIC_SETTINGS = {"thinking": "anthropic_thinking", "betas": "anthropic_betas"}
_ADDRESSES = frozenset({"base_url", "endpoint", "azure_endpoint", "client_params", "async_client", "mistral_client"})
"""Fields that replace the provider's address, or the client that knows it. ``client_params`` may contain an address."""
_CONNECTION = ("base_url", "api_key", "organization", "default_query", "client_params", "async_client")
"""Fields of OpenAI models that select the address and the credentials."""
_AZURE = ("azure_endpoint", "azure_deployment", "azure_ad_token", "azure_ad_token_provider", "api_version")
_REFUSED = {
    "list a function or an MCP server among the tools instead": (
        *("search", "grounding", "grounding_dynamic_threshold", "url_context", "search_parameters"),
        *("vertexai_search", "vertexai_search_datastore", "file_search_store_names", "file_search_metadata_filter"),
        *("function_declarations", "mcp_servers", "skills"),
    ),
    "leave it out if runs may do without it": ("safety_settings", "safe_mode", "safe_prompt"),
    "say it in the instructions of the agent instead": ("cached_content", "system_prompt", "instructions"),
    "set GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION and GOOGLE_APPLICATION_CREDENTIALS instead": (
        *("project_id", "location", "credentials"),
    ),
    "set api_key= instead": ("auth_token",),
    "set the variables of AWS instead, such as AWS_REGION and AWS_PROFILE": (
        *("aws_region", "aws_sso_auth", "aws_access_key", "aws_access_key_id", "aws_secret_key"),
        *("aws_secret_access_key", "aws_session_token", "session", "async_session"),
    ),
}
"""What to do instead of fields without a counterpart that guard a run, or change what it does or where."""
_FIXES = {name: fix for fix, names in _REFUSED.items() for name in names}
_WITHOUT_EFFECT = frozenset(
    {
        *("id", "name", "provider", "model_type", "supports_native_structured_outputs", "supports_json_schema_outputs"),
        *(
            "collect_metrics_on_completion",
            "strict_output",
            "tool_message_role",
            "assistant_message_role",
            "role_map",
        ),
        *(
            "retries",
            "delay_between_retries",
            "exponential_backoff",
            "retry_with_guidance",
            "retry_with_guidance_limit",
            "max_retries",
        ),
        *(
            "client",
            "api_key",
            "host",
            "vertexai",
            "cache_dir",
            "cache_ttl",
            "vector_store_name",
        ),
    }
)
"""Fields that are used elsewhere, or that say how Agno makes its calls."""


class Models:
    """Converts models, each object once.

    :param settings: ``model_override`` replaces every model.
    """

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._converted: dict[int, tuple[Any, str | Model]] = {}
        """By the ids of Agno's objects, which are kept: the id of one that is gone may be that of another one."""

    def for_one_run(self) -> Models:
        """A copy for what a function declares during a run, which is forgotten after it."""
        copy = Models(self._settings, Report())
        copy._converted.update(self._converted)
        return copy

    @property
    def are_replaced(self) -> bool:
        """Whether ``model_override`` replaces every declared model."""
        return bool(self._settings.model_override)

    def convert(self, model: Any, label: str, place: Place) -> str | Model | None:
        """Convert one of Agno's models; None for None.

        :raises DeclarationError: musterd has no such model.
        """
        if model is None:
            return None
        if id(model) not in self._converted:
            override = self._settings.model_override
            converted = (
                self._replaced(model, override, label, place) if override else self._convert(model, label, place)
            )
            self._converted[id(model)] = model, converted
        return self._converted[id(model)][1]

    def _replaced(self, model: Any, override: str, label: str, place: Place) -> str:
        """The model that replaces ``model``. What would be refused without it is reported, except for accounts."""
        if isinstance(model, str):
            return override
        try:
            if dataclasses.is_dataclass(model):
                self._options(model, place)
            problem = "" if _prefix(model) else "musterd has no such model"
        except DeclarationError as error:
            problem = error.message
        if problem:
            words = f"it is refused without MUSTERD_MODEL_OVERRIDE: {problem}"
            self._report.not_served(f"{label}: its model {type(model).__name__}", words, place)
        return override

    def _convert(self, model: Any, label: str, place: Place) -> str | Model:
        try:
            options, prefix = self._options(model, place), _prefix(model)
            if prefix == "azure-openai":
                return _azure(model, options, self._settings)
            if prefix in ("openai", "openai-chat"):
                return self._openai(prefix, model, options)
            if prefix is not None:
                return self._of_provider(prefix, model, options)
        except (DeclarationError, ImportError) as error:
            problem = f"{label}: its model {type(model).__name__} cannot be used"
            raise declaration_error(place, problem, " ".join(str(error).split())) from error
        problem = f"{label}: musterd has no model for {type(model).__name__} of {type(model).__module__}"
        raise declaration_error(place, problem, "use a model of another provider, or an OpenAILike one")

    def _options(self, model: Any, place: Place) -> dict[str, Any]:
        """The settings of pydantic-ai for the fields that are set. Those without a counterpart are reported.

        :raises DeclarationError: the model has an address of its own, which is not supported, or a field without a
            counterpart changes what a run does.
        """
        names = {cls.__name__ for cls in type(model).__mro__}
        is_openai, is_claude = bool(names & {"OpenAIChat", "OpenAIResponses"}), "Claude" in names
        known = {
            **_SETTINGS,
            **(_OPENAI_SETTINGS if is_openai else {}),
            **(_ANTHROPIC_SETTINGS if is_claude else {}),
        }
        options: dict[str, Any] = {}
        refused: dict[str, str] = {}
        for field in dataclasses.fields(model):
            value = getattr(model, field.name, None)
            if value is None or (is_openai and field.name in (*_CONNECTION, *_AZURE)):
                continue
            if (setting := known.get(field.name)) is not None:  # also a default, which Agno sends too
                options[setting] = [value] if setting == "stop_sequences" and isinstance(value, str) else value
            elif _is_default(field, value):
                continue
            elif field.name in _ADDRESSES or (field.name == "client" and "Gemini" in names):
                raise DeclarationError(f"{field.name}= is not supported for this provider")
            elif field.name in _FIXES:
                refused[field.name] = _FIXES[field.name]
            elif field.name not in _WITHOUT_EFFECT and not field.name.startswith("_"):
                option = f"{type(model).__name__}({field.name}=…)"
                self._report.not_served(option, "models of musterd have no such option", place)
        if refused:
            problems = (f"{name}= is not supported: {fix}" for name, fix in refused.items())
            raise DeclarationError("; ".join(problems))
        return options

    def _openai(self, prefix: str, model: Any, options: dict[str, Any]) -> str | Model:
        """A model of OpenAI, or of a provider with the same API."""
        folder = _package(model)
        is_openai = folder == "openai"
        if is_openai and not options and not any(getattr(model, name, None) for name in _CONNECTION):
            return f"{prefix}:{model.id}"
        from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
        from pydantic_ai.providers import infer_provider_class

        is_chat, settings = prefix == "openai-chat", _settings(options)
        provider_class: Any = infer_provider_class(_PREFIXES.get(folder, "openai") if is_chat else "openai")
        if model.async_client is not None:  # without the client's retries, because musterd retries
            client = model.async_client.with_options(max_retries=0)
        else:
            client = self._client(model, is_openai=is_openai)
        provider = provider_class(openai_client=client)
        if is_chat and model.async_client is None:
            from musterd.models.openai_http import build_model

            return build_model(model.id, client, provider=provider, model_settings=settings)
        return (OpenAIChatModel if is_chat else OpenAIResponsesModel)(model.id, provider=provider, settings=settings)

    def _client(self, model: Any, *, is_openai: bool) -> Any:
        """A client with the address and the credentials that Agno's client would have."""
        parameters = _client_parameters(model)
        base_url = parameters.get("base_url")
        if (
            base_url is None and not is_openai
        ):  # OpenAI's default address must not get another provider's prompts and key
            raise DeclarationError("its class has no default address; set base_url=")
        from musterd.models.openai_http import build_client

        return build_client(
            base_url=None if base_url is None else str(base_url),
            api_key=parameters["api_key"],
            organization=parameters.get("organization"),
            query=parameters.get("default_query"),
            settings=self._settings,
        )

    def _of_provider(self, prefix: str, model: Any, options: dict[str, Any]) -> str | Model:
        # Agno ignores the key if the model is on Google Cloud.
        api_key = None if prefix == "google-cloud" else getattr(model, "api_key", None)
        host = _ollama_host(model) if prefix == "ollama" else None
        if not options and not api_key and host is None:
            return f"{prefix}:{model.id}"
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model
        from pydantic_ai.providers import Provider, infer_provider, infer_provider_class

        from musterd.models.provider_http import limit_provider

        providers: list[Provider[Any]] = []

        def provider_of(name: str) -> Provider[Any]:
            values: dict[str, Any] = {"api_key": api_key} if api_key else {}
            if host is not None:
                values["base_url"] = f"{host.rstrip('/')}/v1"
            provider = infer_provider_class(name)(**values) if values else infer_provider(name)
            providers.append(limit_provider(provider, self._settings))
            return providers[-1]

        try:
            inferred: Any = infer_model(f"{prefix}:{model.id}", provider_of)
        except (UserError, ValueError) as error:
            raise DeclarationError(str(error)) from error
        created: Model = type(inferred)(model.id, provider=providers[-1], settings=_settings(options))
        return created


def _package(model: Any) -> str:
    """The name of the package of Agno that has the model's class."""
    modules = (cls.__module__.split(".") for cls in type(model).__mro__ if cls.__module__.startswith("agno."))
    return next((parts[2] for parts in modules if len(parts) > 2), "")


def _prefix(model: Any) -> str | None:
    """The prefix of musterd's names for such models, or ``azure-openai``; None if there are none."""
    names = {cls.__name__ for cls in type(model).__mro__}
    if "AzureOpenAI" in names:
        return "azure-openai"
    if "OpenAIResponses" in names:
        return "openai"
    if "OpenAIChat" in names:
        return "openai-chat"
    prefix = _PREFIXES.get(_package(model))
    return "google-cloud" if prefix == "google" and getattr(model, "vertexai", False) else prefix


def _ollama_host(model: Any) -> str | None:
    """The address of an Ollama model: that of Ollama Cloud if there is a key, as in Agno. None for OLLAMA_BASE_URL."""
    if model.host:
        return str(model.host)
    if "OLLAMA_BASE_URL" in os.environ:
        return None
    return "https://ollama.com" if model.api_key else os.environ.get("OLLAMA_HOST") or "http://localhost:11434"


def _client_parameters(model: Any) -> dict[str, Any]:
    """The arguments with which Agno creates its client. Each class knows its address and the variable of its key.

    :raises DeclarationError: there is no key.
    """
    from agno.exceptions import ModelAuthenticationError

    try:
        parameters: dict[str, Any] = model._get_client_params()
    except ModelAuthenticationError as error:
        raise DeclarationError(error.message) from error
    return parameters


def _azure(model: Any, options: dict[str, Any], settings: Settings) -> Model:
    """A model on Azure, with the SDK's own client, which builds Azure's URLs and renews its tokens."""
    from openai import AsyncAzureOpenAI, OpenAIError
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.azure import AzureProvider

    from musterd.models.provider_http import limit_client

    client = model.async_client
    if client is None:
        parameters = {**_client_parameters(model), "max_retries": 0}
        try:
            client = AsyncAzureOpenAI(**parameters)
        except OpenAIError as error:
            raise DeclarationError(str(error)) from error
        if parameters.get("http_client") is None:
            limit_client(client._client, str(client.base_url), settings)
    return OpenAIChatModel(model.id, provider=AzureProvider(openai_client=client), settings=_settings(options))


def _settings(options: dict[str, Any]) -> Any:
    """The settings of a model of pydantic-ai; None if there are none."""
    return options or None


def _is_default(field: dataclasses.Field[Any], value: Any) -> bool:
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return field.default is not dataclasses.MISSING and bool(value == field.default)
