"""Bodies that clients may send as a form, multipart or urlencoded, or as JSON."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr
from starlette.datastructures import UploadFile
from starlette.requests import Request

from musterd.core.settings import Settings
from musterd.http.form_bodies import read_form
from musterd.http.json_bodies import read_object
from musterd.http.parameters import Body, validated
from musterd.wire.files import Upload, media_of

MediaByName = dict[str, list[dict[str, Any]]]
"""Media by the name of their field: images, audio, videos, files."""


class Form(Body):
    """The body of a request as a form or as a JSON object.

    Its fields are declared once. In JSON they have their own types; in a form all of them are texts, objects and lists
    as JSON text. So the types of its fields have to accept both. Of a field that is repeated in a form, the last value
    counts.
    """

    takes_uploads: ClassVar[bool] = False
    """Whether it may contain media: uploaded files in a multipart form, and lists of media in long fields."""

    _uploads: MediaByName = PrivateAttr(default_factory=dict)

    @classmethod
    async def read(cls, request: Request, settings: Settings) -> Self:
        """Read the body of ``request``. A body of another content type counts as an empty form.

        :raises InvalidInput: it is not a JSON object, or a value is wrong; it names each.
        :raises BadRequest: it cannot be read, a field is too long, or a file is of a type that is not supported.
        """
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        uploads: MediaByName = {}
        if content_type == "application/json":
            is_optional, takes_media = not cls.is_required, cls.takes_uploads
            values = await read_object(request, settings, may_be_empty=is_optional, takes_media=takes_media)
        else:
            values, uploads = await cls._read_form(request, content_type, settings)
        return cls.of(values, uploads)

    @classmethod
    def of(cls, values: Mapping[str, Any], uploads: MediaByName | None = None) -> Self:
        """The body with these values. Null and an empty text count as absent.

        :raises InvalidInput: a value is wrong; it names each.
        """
        body = validated(cls, {name: value for name, value in values.items() if value not in (None, "")}, "body")
        if uploads:
            body._uploads = uploads
        return body

    @classmethod
    async def _read_form(
        cls, request: Request, content_type: str, settings: Settings
    ) -> tuple[dict[str, Any], MediaByName]:
        """The texts of a form, and its files if it takes any."""
        form = await read_form(request, content_type, settings)
        try:
            values = {name: value for name, value in form.multi_items() if isinstance(value, str)}
            files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
            if not cls.takes_uploads:
                return values, {}
            # A browser sends an empty file for a file field in which nothing was chosen.
            return values, media_of([await _upload(file) for file in files if file.filename or file.size])
        finally:
            await form.close()


async def _upload(file: UploadFile) -> Upload:
    return Upload(filename=file.filename or "", content_type=file.content_type or "", content=await file.read())
