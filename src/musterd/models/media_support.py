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


def kind_of(mime_type: str) -> str:
    """The kind of media of a MIME type."""
    major = mime_type.partition("/")[0]
    return {"image": "images", "audio": "audio", "video": "videos"}.get(major, "files")
