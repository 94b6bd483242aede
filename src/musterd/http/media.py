"""A medium of a run as an answer: bytes that a browser shows to nobody as a page of this server."""

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.media import is_media_type, plain_name, plain_type


def media_answer(request: Request, item: dict[str, Any], content: bytes, name: str) -> Response:
    """The content as it is, under its type; 304 where the client has it.

    It may be anything that a tool returned: browsers take it for a download, and never guess its type.

    :param item: what the run shows of it.
    :param name: the hash of the content, so that the answer never changes.
    """
    tag = f'"{name}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=31536000, immutable", "Vary": "Authorization"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    # The id may be any text that a client or a tool chose.
    filename = quote(plain_name(item.get("filename") or item.get("id") or "") or name, safe="")
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{filename}"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    mime_type = plain_type(item.get("mime_type") or "")
    media_type = mime_type if is_media_type(mime_type) else "application/octet-stream"
    return Response(content, headers=headers, media_type=media_type)


def matches(header: str | None, tag: str) -> bool:
    """Whether ``If-None-Match`` names this tag (RFC 9110, section 13.1.2: weak comparison)."""
    if header is None:
        return False
    return any(given.strip().removeprefix("W/") in ("*", tag) for given in header.split(","))
