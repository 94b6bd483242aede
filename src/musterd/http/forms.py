"""The body of a request that starts a run: a form of either kind, or JSON."""

from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from musterd.core.settings import Settings
from musterd.http.form_bodies import read_form
from musterd.http.json_bodies import read_json, read_object
from musterd.wire.files import Upload, media_of
from musterd.wire.form import (
    ContinueRequest,
    ResumeRequest,
    StartRequest,
    parse_continue,
    parse_json_body,
    parse_resume,
    parse_start,
)
from musterd.wire.steering import MessageRequest, parse_message


async def read_start(request: Request, settings: Settings) -> StartRequest:
    """The request that starts a run.

    :raises InvalidInput: with everything that is wrong.
    :raises BadRequest: the body is not a form, a field is too long, or a file is of a type that is not taken.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return parse_json_body(await read_json(request, settings, takes_media=True))
    form = await read_form(request, content_type, settings)
    try:
        values: dict[str, Any] = {}
        uploads: list[Upload] = []
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                values[name] = value
            elif value.filename or value.size:  # a browser sends an empty one where nothing was chosen
                uploads.append(await _upload(value))
        return parse_start(values, media_of(uploads))
    finally:
        await form.close()


async def read_continue(request: Request, settings: Settings) -> ContinueRequest:
    """The decisions about a paused run. Errors as of :func:`read_start`."""
    return parse_continue(await _fields(request, settings))


async def read_resume(request: Request, settings: Settings) -> ResumeRequest:
    """Where a reader of a stream left off. Errors as of :func:`read_start`."""
    return parse_resume(await _fields(request, settings))


async def read_message(request: Request, settings: Settings) -> MessageRequest:
    """A message to a run at work. Errors as of :func:`read_start`."""
    return parse_message(await _fields(request, settings))


async def _fields(request: Request, settings: Settings) -> dict[str, Any]:
    """The fields of a form without files, or of a JSON object."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return await read_object(request, settings, may_be_empty=True)
    form = await read_form(request, content_type, settings)
    try:
        return {name: value for name, value in form.multi_items() if isinstance(value, str)}
    finally:
        await form.close()


async def _upload(file: UploadFile) -> Upload:
    return Upload(filename=file.filename or "", content_type=file.content_type or "", content=await file.read())
