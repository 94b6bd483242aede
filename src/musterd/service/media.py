"""Media of a request on its way into the store: content goes to blobs, once, and the request refers to it."""

import base64

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Input
from musterd.store.blobs import blob_hash


def stored_media(asked: Input) -> tuple[Input, dict[str, bytes]]:
    """The request with references in place of content, and the content by its hash."""
    if not asked.media:
        return asked, {}
    contents: dict[str, bytes] = {}
    media: dict[str, list[JsonObject]] = {}
    for name, items in asked.media.items():
        media[name] = []
        for item in items:
            if "content" not in item:
                media[name].append(item)
                continue
            content = base64.b64decode(item["content"])
            hashed = blob_hash(content)
            contents[hashed] = content
            rest = {key: value for key, value in item.items() if key != "content"}
            media[name].append({**rest, "blob": hashed})
    return Input(message=asked.message, media=media, options=asked.options), contents


def referred(asked: Input) -> set[str]:
    """The blobs that the request's media refer to."""
    return {item["blob"] for items in asked.media.values() for item in items if "blob" in item}


def filled_media(asked: Input, contents: dict[str, bytes]) -> Input:
    """The request with content in place of references, as it came."""
    media = {name: [_filled(item, contents) for item in items] for name, items in asked.media.items()}
    return Input(message=asked.message, media=media, options=asked.options)


def _filled(item: JsonObject, contents: dict[str, bytes]) -> JsonObject:
    content = contents.get(str(item.get("blob")))
    rest = {key: value for key, value in item.items() if key != "blob"}
    return rest if content is None else {**rest, "content": base64.b64encode(content).decode()}
