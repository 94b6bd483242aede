"""The content of a run's medium as an answer that browsers never render as a page of this server."""

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.media import is_media_type, plain_name, plain_type
from musterd.http.entity_tags import has_tag


def media_answer(request: Request, item: dict[str, Any], content: bytes, name: str) -> Response:
    """The unchanged content with its type, or 304 if the client has it.

    It may be anything that a tool returned, so browsers are told to download it and not to guess its type.

    :param item: the medium as it is listed in the run.
    :param name: the hash of the content. The answer for a name never changes.
    """
    tag = f'"{name}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=31536000, immutable", "Vary": "Authorization"}
    if has_tag(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    # The id may be any text that a client or a tool chose.
    filename = quote(plain_name(item.get("filename") or item.get("id") or "") or name, safe="")
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{filename}"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    mime_type = plain_type(item.get("mime_type") or "")
    media_type = mime_type if is_media_type(mime_type) else "application/octet-stream"
    return Response(content, headers=headers, media_type=media_type)
