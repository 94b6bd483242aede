"""Tells from a model's profile which media the model reads, before any call is paid for.

If a profile does not say, the media are sent and the provider decides.
"""

from pydantic_ai.models import Model
from pydantic_ai.profiles import DEFAULT_PROFILE

_FLAGS = {
    "images": ("supports_image_input", "images"),
    "audio": ("supports_audio_file_input", "audio"),
    "videos": ("supports_video_input", "video"),
    "files": ("supports_document_input", "documents"),
}

_TEXT_TYPES = frozenset({f"application/{name}" for name in ("json", "xml", "yaml", "x-yaml", "toml")})
_SENT_TYPES = {
    "images": frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}),
    "audio": frozenset({"audio/wav", "audio/mpeg"}),
    "files": DEFAULT_PROFILE["supported_document_media_types"],
}
"""The types that adapters of pydantic-ai send. Videos of all types are."""
_SENT_TO_GOOGLE = frozenset(
    {"image/heic", "image/heif", "audio/flac", "audio/ogg", "audio/aiff", "audio/aac", "audio/mp3", "audio/x-wav"}
)


def is_text(name: str, mime_type: str) -> bool:
    """Whether a file of this type becomes text in the prompt."""
    is_text_type = mime_type.startswith("text/") or mime_type in _TEXT_TYPES or mime_type.endswith(("+json", "+xml"))
    return name == "files" and is_text_type


def unsupported_media(model: Model, name: str, mime_type: str) -> str | None:
    """The name of the media that the model cannot read, for a message. None if the model can read them.

    :param name: the kind of media: images, audio, videos or files.
    :param mime_type: the type that the sender declared.
    """
    flag, media_label = _FLAGS[name]
    profile = model.profile
    if not profile.get(flag, True):
        return media_label
    all_types = DEFAULT_PROFILE["supported_document_media_types"]
    if name == "files" and mime_type in all_types - profile.get("supported_document_media_types", all_types):
        return f"documents of the type {mime_type}"
    return None


def unsupported_result(model: Model, name: str, mime_type: str) -> str | None:
    """The same for media that a tool returned. It refuses types too that are not known to be read by any model.

    The tool has had its effect, so a provider that rejects what it returned must not end the run.
    """
    if unsupported := unsupported_media(model, name, mime_type):
        return unsupported
    if mime_type in _SENT_TYPES.get(name, {mime_type}):
        return None
    if mime_type in _SENT_TO_GOOGLE and model.system.startswith("google"):
        return None
    return f"{_FLAGS[name][1]} of the type {mime_type}"


def kind_of(mime_type: str) -> str:
    """The kind of media of a MIME type."""
    major = mime_type.partition("/")[0]
    return {"image": "images", "audio": "audio", "video": "videos"}.get(major, "files")
