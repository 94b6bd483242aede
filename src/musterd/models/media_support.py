"""Which media a model reads, as its profile says: asked before anything is paid for it.

A profile that says nothing takes everything: then the provider has the last word.
"""

from pydantic_ai.models import Model
from pydantic_ai.profiles import DEFAULT_PROFILE

_FLAGS = {
    "images": ("supports_image_input", "images"),
    "audio": ("supports_audio_file_input", "audio"),
    "videos": ("supports_video_input", "video"),
    "files": ("supports_document_input", "documents"),
}


def not_taken(model: Model, name: str, mime_type: str) -> str | None:
    """What a model cannot read, in words; None: it can read this.

    :param name: what kind of media it is: images, audio, videos, files.
    :param mime_type: what it says that it is.
    """
    flag, words = _FLAGS[name]
    profile = model.profile
    if not profile.get(flag, True):
        return words
    known = DEFAULT_PROFILE["supported_document_media_types"]
    if name == "files" and mime_type in known - profile.get("supported_document_media_types", known):
        return f"documents of the type {mime_type}"
    return None


def kind_of(mime_type: str) -> str:
    """What kind of media a type is."""
    major = mime_type.partition("/")[0]
    return {"image": "images", "audio": "audio", "video": "videos"}.get(major, "files")
