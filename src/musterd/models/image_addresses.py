"""Which models pass the address of an image on to their provider, who fetches it.

For any other kind of media, and for any other model, pydantic-ai would fetch the address itself, on this machine, for
whoever sent it; so no other model is handed one.
"""

from pydantic_ai.models import Model

from musterd.models.media_support import not_taken

# By name, so that no SDK is imported to tell.
_PASS_ON = frozenset(
    {"AnthropicModel", "GroqModel", "HuggingFaceModel", "MistralModel", "OpenAIChatModel", "OpenAIResponsesModel"}
)


def passes_image_addresses_on(model: Model) -> bool:
    """Whether an image's address reaches the provider as it is, and its model reads images."""
    return not_taken(model, "images", "") is None and any(kind.__name__ in _PASS_ON for kind in type(model).__mro__)
