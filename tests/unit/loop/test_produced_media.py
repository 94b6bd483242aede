"""Media that a tool returned reach the model in a form that it reads, or as a note."""

import pytest
from pydantic_ai.messages import BinaryContent
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.profiles import ModelProfile

from musterd.core.media import Medium
from musterd.loop.produced_media import result_content
from musterd.models.media_support import kind_of


class GoogleLike(FunctionModel):
    """A model of the provider that reads most types."""

    @property
    def system(self) -> str:
        return "google"


def model(kind: type[FunctionModel] = FunctionModel, **profile: bool) -> FunctionModel:
    made = kind(stream_function=lambda messages, info: None)  # type: ignore[arg-type,return-value]
    made.profile = ModelProfile(**profile)  # type: ignore[typeddict-item]
    return made


def shown(content: bytes, mime_type: str, to: FunctionModel) -> object:
    medium = Medium(name=kind_of(mime_type), item={"id": "f", "mime_type": mime_type}, content=content)
    result = result_content("done", [medium], to)
    return result.removeprefix("done\n") if isinstance(result, str) else result[1]


@pytest.mark.parametrize(
    ("content", "mime_type", "text"),
    [
        (b'{"a": 1}', "application/json", '{"a": 1}'),
        ("Köln".encode("latin-1"), "text/csv", "K\ufffdln"),
        (b"<a/>", "application/xml", "<a/>"),
        (b"{}", "application/geo+json", "{}"),
    ],
)
def test_text_is_shown_as_text(content: bytes, mime_type: str, text: str) -> None:
    for reader in (model(), model(supports_document_input=False)):
        assert shown(content, mime_type, reader) == f'<file id="f" type="{mime_type}">\n{text}\n</file>'


@pytest.mark.parametrize(
    ("mime_type", "words"),
    [
        ("application/zip", "documents of the type application/zip"),
        ("application/octet-stream", "documents of the type application/octet-stream"),
        ("application/x-no-such-type", "documents of the type application/x-no-such-type"),
        ("audio/ogg", "audio of the type audio/ogg"),
        ("image/svg+xml", "images of the type image/svg+xml"),
    ],
)
def test_what_no_provider_reads_becomes_a_note(mime_type: str, words: str) -> None:
    assert (
        shown(b"x", mime_type, model()) == f'<file id="f" type="{mime_type}">Not shown: you cannot read {words}.</file>'
    )


@pytest.mark.parametrize("mime_type", ["application/pdf", "image/png", "audio/wav", "video/mp4"])
def test_what_most_providers_read_is_sent(mime_type: str) -> None:
    assert isinstance(shown(b"x", mime_type, model()), BinaryContent)


def test_google_reads_more_types_of_audio() -> None:
    assert isinstance(shown(b"x", "audio/ogg", model(GoogleLike)), BinaryContent)
