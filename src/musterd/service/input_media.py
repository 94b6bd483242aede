"""Media of a request on its way into the store: content goes to blobs, once, and the request refers to it.

What a model of the run cannot read is refused before: nothing is stored, and nobody pays.
"""

import base64
from collections.abc import Mapping

from musterd.core import clock
from musterd.core.errors import InvalidInput
from musterd.core.jsontypes import JsonObject
from musterd.core.media import content_hash
from musterd.core.records import Input, RunView
from musterd.declare import Component
from musterd.engine.input_media import is_text
from musterd.engine.resources import Resources
from musterd.models.media_support import not_taken
from musterd.store import blobs
from musterd.store.database import Database


async def require_readable(resources: Resources, component: Component, asked: Input) -> None:
    """Check that a component's model can read the media of a request.

    :raises InvalidInput: it cannot.
    """
    if not asked.media or not component.spec.send_media_to_model:
        return
    await resources.models.load(component)
    model, info = resources.models.of(component), resources.models.describe(component)
    problems: list[JsonObject] = []
    for name, items in asked.media.items():
        for place, item in enumerate(items):
            mime_type = item.get("mime_type") or ""
            if "url" in item or is_text(name, mime_type):  # the model reads a text
                continue
            if words := not_taken(model, name, mime_type):
                msg = f"The model {info.model} ({info.provider}) cannot read {words}"
                loc = ["body", name, place]
                problems.append({"type": "media_not_taken", "loc": loc, "msg": msg, "input": item.get("filename")})
    if problems:
        raise InvalidInput("; ".join(dict.fromkeys(problem["msg"] for problem in problems)), problems)


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
            hashed = content_hash(content)
            contents[hashed] = content
            rest = {key: value for key, value in item.items() if key != "content"}
            media[name].append({**rest, "blob": hashed})
    return Input(message=asked.message, media=media, options=asked.options), contents


async def fill(database: Database, view: RunView) -> None:
    """Put the content of a run's media in place of the references; what the run made can still be asked for by them."""
    output = view.output
    names = _referred(view.input.media) | (_referred(output.media) if output is not None else set())
    if names:
        contents = await database.scan(lambda tx: blobs.several(tx, names))  # many bytes: not on the event loop
        view.input.media = _filled(view.input.media, contents)
        if output is not None:
            output.media = _filled(output.media, contents, keeps_reference=True)
        await clock.yield_to_others()  # what is made of them next takes as long once more: other tasks come first


def _referred(media: Mapping[str, list[JsonObject]]) -> set[str]:
    return {item["blob"] for items in media.values() for item in items if "blob" in item}


def _filled(
    media: Mapping[str, list[JsonObject]], contents: dict[str, bytes], *, keeps_reference: bool = False
) -> dict[str, list[JsonObject]]:
    def one(item: JsonObject) -> JsonObject:
        content = contents.get(str(item.get("blob")))
        shown = {key: value for key, value in item.items() if key != "blob"}
        if content is not None:
            shown["content"] = base64.b64encode(content).decode()
            if keeps_reference:
                shown["blob"] = item["blob"]
        return shown

    return {name: [one(item) for item in items] for name, items in media.items()}


def medium_of(view: RunView, name: str) -> JsonObject | None:
    """What a run shows of the content under this name, among what it was given and what it produced."""
    shown = [view.input.media, *([view.output.media] if view.output is not None else [])]
    items = (item for media in shown for items in media.values() for item in items)
    return next((item for item in items if item.get("blob") == name), None)
