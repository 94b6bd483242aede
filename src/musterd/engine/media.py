"""Media of a request as the model is given them.

Text files stand in the prompt as text; what a model may understand goes along as it is; addresses go to providers
that fetch them. The server fetches nothing.
"""

import base64
from collections.abc import Sequence

from pydantic_ai.messages import AudioUrl, BinaryContent, DocumentUrl, ImageUrl, UserContent, VideoUrl

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input

_URLS = {"images": ImageUrl, "audio": AudioUrl, "videos": VideoUrl, "files": DocumentUrl}


def prompt_of(asked: Input, blobs: dict[str, bytes]) -> str | Sequence[UserContent]:
    """The user's message: text, or text with media after it."""
    if not asked.media:
        return asked.message
    content: list[UserContent] = [asked.message]
    for name, items in asked.media.items():
        content.extend(_content(name, item, blobs) for item in items)
    return content


def _content(name: str, item: JsonObject, blobs: dict[str, bytes]) -> UserContent:
    mime_type = item.get("mime_type") or "application/octet-stream"
    if "url" in item:
        address: UserContent = _URLS.get(name, DocumentUrl)(item["url"])
        return address
    data = blobs[item["blob"]] if "blob" in item else base64.b64decode(item.get("content", ""))
    if name == "files" and (mime_type.startswith("text/") or mime_type == "application/json"):
        title = item.get("filename") or item.get("id") or "file"
        return f'<file name="{title}">\n{data.decode("utf-8", errors="replace")}\n</file>'
    return BinaryContent(data, media_type=mime_type, identifier=item.get("id"))
