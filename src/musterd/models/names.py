"""The names of models on the wire, derived from their declaration without importing any SDK."""

from dataclasses import dataclass

from pydantic_ai.models import Model

from musterd.core.settings import Settings

LOCAL = "local"
SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model, named as AgentOS clients expect.

    :param name: the class name that AgentOS uses for this kind of model (``OpenAIChat``).
    :param model: the provider's name for the model (``gpt-5``).
    :param provider: the provider's name (``OpenAI``).
    """

    name: str
    model: str
    provider: str


NO_MODEL = ModelInfo(name="", model="", provider="")
"""The names of a workflow, which has no model of its own."""

# Prefix of a model string to (name, provider). The values are AgentOS's own if it has the provider.
KINDS: dict[str, tuple[str, str]] = {
    "openai": ("OpenAIResponses", "OpenAI"),
    "openai-responses": ("OpenAIResponses", "OpenAI"),
    "openai-chat": ("OpenAIChat", "OpenAI"),
    "anthropic": ("Claude", "Anthropic"),
    "azure": ("AzureOpenAI", "Azure"),
    "bedrock": ("AwsBedrock", "AwsBedrock"),
    "cerebras": ("Cerebras", "Cerebras"),
    "cohere": ("Cohere", "Cohere"),
    "deepseek": ("DeepSeek", "DeepSeek"),
    "fireworks": ("Fireworks", "Fireworks"),
    "google": ("Gemini", "Google"),
    "google-cloud": ("Gemini", "VertexAI"),
    "groq": ("Groq", "Groq"),
    "huggingface": ("HuggingFace", "HuggingFace"),
    "mistral": ("MistralChat", "Mistral"),
    "moonshotai": ("MoonShot", "Moonshot"),
    "nebius": ("Nebius", "Nebius"),
    "ollama": ("Ollama", "Ollama"),
    "openrouter": ("OpenRouter", "OpenRouter"),
    "together": ("Together", "Together"),
    "vercel": ("V0", "Vercel"),
    "xai": ("xAI", "xAI"),
    LOCAL: ("Local", "Local"),
    SCRIPTED: ("Scripted", "Scripted"),
}


def model_in_use(model: str | Model, settings: Settings) -> str | Model:
    """``model``, or the one that the settings put in place of every declared one."""
    return settings.model_override or model


def provider_of(system: str) -> str:
    """The name on the wire of a provider that the SDK calls ``system``."""
    return KINDS.get(system, ("", system))[1]


def describe(model: str | Model) -> ModelInfo:
    """``model`` as it is named on the wire. Imports no SDK and never fails: an unknown name is returned unchanged."""
    if isinstance(model, Model):
        name, provider = KINDS.get(model.system, (type(model).__name__, model.system))
        if model.system == "openai":  # "openai" for both of OpenAI's protocols
            speaks_responses = any(base.__name__ == "OpenAIResponsesModel" for base in type(model).__mro__)
            name = "OpenAIResponses" if speaks_responses else "OpenAIChat"
        return ModelInfo(name=name, model=model.model_name, provider=provider)
    prefix, _, model_name = model.partition(":")
    name, provider = KINDS.get(prefix, (prefix, prefix))
    return ModelInfo(name=name, model=model_name or prefix, provider=provider)
