"""Entity tags of JSON answers: a client that has an answer already gets 304 in place of it."""

import hashlib
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from musterd.core import jsontext
from musterd.core.threads import in_thread
from musterd.http.parameters import Headers
from musterd.http.responses import answer_in_pieces, json_pieces


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


async def tagged_answer(request: Request, value: Any) -> Response:
    """A JSON response with a weak tag, or 304. While a long one is written, other requests are answered.

    The answer is computed in any case, so the tag saves its transfer and its parsing by the client.
    """
    pieces = await json_pieces(value)
    tag = _tag_of(pieces) if len(pieces) == 1 else await in_thread(_tag_of, pieces)
    headers = {"Cache-Control": "no-cache", "ETag": f"W/{tag}"}
    if has_tag(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return answer_in_pieces(pieces, headers)


def _tag_of(pieces: list[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for piece in pieces:
        digest.update(piece)
    return f'"{digest.hexdigest()}"'


def run_tag(version: int, progress: Any, *, view: str = "") -> str:
    """A tag of a run that changes whenever the answer does.

    :param version: counts the changes of the run's state, and so of its answer and its conversation.
    :param progress: what changes in between.
    :param view: how much of the run the answer has, if that can be chosen.
    """
    digest = hashlib.blake2b(jsontext.canonical(progress).encode("utf-8", "replace"), digest_size=12).hexdigest()
    return f'"{view}-{version}-{digest}"' if view else f'"{version}-{digest}"'
