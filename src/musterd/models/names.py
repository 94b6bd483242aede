"""What a model is called on the wire, told from its declaration without importing any SDK."""

from dataclasses import dataclass

from pydantic_ai.models import Model

LOCAL = "local"
SCRIPTED = "scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model in the words that AgentOS clients know.

    :param name: the kind of model, as AgentOS names its classes (``OpenAIChat``).
    :param model: the provider's name of the model (``gpt-5``).
    :param provider: who serves it (``OpenAI``).
    """

    name: str
    model: str
    provider: str


# Prefix of a model string to (name, provider), in the peer's words where it has them.
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


def describe(model: str | Model) -> ModelInfo:
    """``model`` in the words of the wire. Never imports an SDK and never fails: an odd name is shown as it
    is."""
    if isinstance(model, Model):
        name, provider = KINDS.get(model.system, (type(model).__name__, model.system))
        if model.system == "openai":  # both of OpenAI's protocols say "openai"
            speaks_responses = any(base.__name__ == "OpenAIResponsesModel" for base in type(model).__mro__)
            name = "OpenAIResponses" if speaks_responses else "OpenAIChat"
        return ModelInfo(name=name, model=model.model_name, provider=provider)
    kind, _, rest = model.partition(":")
    name, provider = KINDS.get(kind, (kind, kind))
    return ModelInfo(name=name, model=rest or kind, provider=provider)
