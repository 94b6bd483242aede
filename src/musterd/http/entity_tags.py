"""Entity tags of JSON answers: a client that has an answer already gets 304 in place of it."""

import hashlib
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from musterd.core import jsontext
from musterd.http.parameters import Headers
from musterd.http.responses import JSON


class EntityTagHeaders(Headers):
    """The header of requests that are answered 304 if the client has the answer already."""

    if_none_match: str | None = Field(
        None,
        alias="If-None-Match",
        description="The `ETag` of an earlier answer: 304 unless it has changed since",
    )


def has_tag(if_none_match: str | None, tag: str) -> bool:
    """Whether the header ``If-None-Match`` names this tag (RFC 9110, section 13.1.2: weak comparison)."""
    if if_none_match is None:
        return False
    return any(item.strip().removeprefix("W/") in ("*", tag) for item in if_none_match.split(","))


def tagged_answer(request: Request, value: Any) -> Response:
    """A JSON response with a weak tag, or 304.

    The answer is computed in any case, so the tag saves its transfer and its parsing by the client.
    """
    content = jsontext.dumps(value).encode("utf-8", "replace")
    tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    headers = {"Cache-Control": "no-cache", "ETag": f"W/{tag}"}
    if has_tag(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=JSON)


def run_tag(version: int, progress: Any, *, view: str = "") -> str:
    """A tag of a run that changes whenever the answer does.

    :param version: counts the changes of the run's state, and so of its answer and its conversation.
    :param progress: what changes in between.
    :param view: how much of the run the answer has, if that can be chosen.
    """
    digest = hashlib.blake2b(jsontext.canonical(progress).encode("utf-8", "replace"), digest_size=12).hexdigest()
    return f'"{view}-{version}-{digest}"' if view else f'"{version}-{digest}"'
