"""Media of a request in the form in which a model gets them.

Text files become part of the prompt. Media that a model may understand are attached. Addresses are passed to providers
that fetch them; otherwise they become part of the prompt. The server itself fetches nothing.
"""

import base64
from collections.abc import Sequence

from pydantic_ai.messages import BinaryContent, ImageUrl, UserContent

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input
from musterd.declare.tool_result import Media
from musterd.models.media_support import is_text


def prompt_of(
    run_input: Input, blobs: dict[str, bytes], *, sends_media: bool = True, passes_image_addresses_on: bool = False
) -> str | Sequence[UserContent]:
    """The user's message: text, or text with media after it.

    :param sends_media: whether the model gets media at all.
    :param passes_image_addresses_on: whether the provider fetches images. If not, the prompt names their addresses, as
        it does for all other media.
    """
    if not run_input.media or not sends_media:
        return run_input.message
    content: list[UserContent] = [run_input.message]
    for name, items in run_input.media.items():
        for item in items:
            if "url" in item:
                is_passed_on = passes_image_addresses_on and name == "images"
                content.append(ImageUrl(item["url"]) if is_passed_on else _note(name, item))
            else:
                content.append(_content(name, item, blobs))
    return content


def media_of(run_input: Input, blobs: dict[str, bytes]) -> dict[str, list[Media]]:
    """The media of a request in the form in which tools get them."""
    return {
        name: [
            Media(
                content=blobs.get(item["blob"]) if "blob" in item else None,
                url=item.get("url"),
                mime_type=item.get("mime_type") or "",
                filename=item.get("filename"),
                id=item.get("id"),
            )
            for item in items
        ]
        for name, items in run_input.media.items()
    }


def _note(name: str, item: JsonObject) -> str:
    kind = name.removesuffix("s")
    title = f' name="{item["filename"]}"' if item.get("filename") else ""
    return f'<{kind}{title} url="{item["url"]}"/>'


def _content(name: str, item: JsonObject, blobs: dict[str, bytes]) -> UserContent:
    mime_type = item.get("mime_type") or "application/octet-stream"
    data = blobs[item["blob"]] if "blob" in item else base64.b64decode(item.get("content", ""))
    if is_text(name, mime_type):
        title = item.get("filename") or item.get("id") or "file"
        return f'<file name="{title}">\n{data.decode("utf-8", errors="replace")}\n</file>'
    return BinaryContent(data, media_type=mime_type, identifier=item.get("id"))
