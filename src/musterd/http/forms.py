"""The body of a request that starts a run: a form of either kind, or JSON."""

from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from musterd.core import jsontext
from musterd.core.errors import InvalidInput
from musterd.core.settings import Settings
from musterd.wire.files import Upload, media_of
from musterd.wire.form import StartRequest, parse_json_body, parse_start

MAX_FIELDS = 1000
MAX_FILES = 100


async def read_start(request: Request, settings: Settings) -> StartRequest:
    """The request that starts a run.

    :raises InvalidInput: with everything that is wrong.
    :raises BadRequest: the body is not a form, a field is too long, or a file is of a type that is not taken.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return parse_json_body(await _json_body(request))
    form = await _form(request, settings)
    try:
        values: dict[str, Any] = {}
        uploads: list[Upload] = []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                uploads.append(await _upload(value))
            else:
                values[name] = value
        return parse_start(values, media_of(uploads))
    finally:
        await form.close()


async def _form(request: Request, settings: Settings) -> FormData:
    return await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=settings.field_bytes)


async def _upload(file: UploadFile) -> Upload:
    return Upload(filename=file.filename or "", content_type=file.content_type or "", content=await file.read())


async def _json_body(request: Request) -> Any:
    body = await request.body()
    try:
        return jsontext.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidInput.at(("body",), "json_invalid", "The body is not JSON") from error
