"""Tells which models pass the address of an image on to their provider, which then fetches it.

For other kinds of media and for other models, pydantic-ai would fetch the address on this machine on behalf of a
client. That would let clients make this server send requests, so those models never get an address.
"""

from pydantic_ai.models import Model

from musterd.models.media_support import unsupported_media

# Class names, so that no SDK is imported for the check.
_MODELS_THAT_PASS_ADDRESSES = frozenset(
    {"AnthropicModel", "GroqModel", "HuggingFaceModel", "MistralModel", "OpenAIChatModel", "OpenAIResponsesModel"}
)


def passes_image_addresses_on(model: Model) -> bool:
    """Whether an image's address reaches the provider unchanged, and the model reads images."""
    if unsupported_media(model, "images", "") is not None:
        return False
    return any(base.__name__ in _MODELS_THAT_PASS_ADDRESSES for base in type(model).__mro__)
