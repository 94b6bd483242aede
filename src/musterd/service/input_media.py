"""Media of a request: their content is stored once as blobs, and the request refers to the blobs.

Media that the run's model cannot read are rejected before anything is stored and before any model call is paid for.
"""

import base64
from collections.abc import Mapping

from musterd.core import clock
from musterd.core.errors import Conflict, InvalidInput
from musterd.core.jsontypes import JsonObject
from musterd.core.media import content_hash
from musterd.core.records import Input, RunView
from musterd.declare import BaseComponent, Component
from musterd.engine.resources import Resources
from musterd.models.media_support import is_text, unsupported_media
from musterd.store import blobs
from musterd.store.database import Database


def require_media(run_input: Input, action: str) -> None:
    """Check that the media of an earlier run are still stored.

    :param action: what is to be done with the run.
    :raises Conflict: they are not.
    """
    items = [item for items in run_input.media.values() for item in items]
    if any("url" not in item and "content" not in item for item in items):
        raise Conflict(f"The media of this run are no longer stored, so it cannot be {action}.")


async def require_readable(resources: Resources, component: BaseComponent, run_input: Input) -> None:
    """Check that a component's model can read the media of a request.

    :raises InvalidInput: it cannot.
    """
    if not run_input.media or not isinstance(component, Component) or not component.spec.send_media_to_model:
        return
    await resources.models.load(component)
    model, info = resources.models.of(component), resources.models.describe(component)
    problems: list[JsonObject] = []
    for name, items in run_input.media.items():
        for position, item in enumerate(items):
            mime_type = item.get("mime_type") or ""
            if "url" in item or is_text(name, mime_type):  # these reach the model as text
                continue
            if unsupported := unsupported_media(model, name, mime_type):
                msg = f"The model {info.model} ({info.provider}) cannot read {unsupported}"
                loc = ["body", name, position]
                problems.append({"type": "media_not_taken", "loc": loc, "msg": msg, "input": item.get("filename")})
    if problems:
        raise InvalidInput("; ".join(dict.fromkeys(problem["msg"] for problem in problems)), problems)


def extract_media(run_input: Input) -> tuple[Input, dict[str, bytes]]:
    """The request with references in place of media content, and the contents by their hash."""
    if not run_input.media:
        return run_input, {}
    contents: dict[str, bytes] = {}
    media: dict[str, list[JsonObject]] = {}
    for name, items in run_input.media.items():
        media[name] = []
        for item in items:
            if "content" not in item:
                media[name].append(item)
                continue
            content = base64.b64decode(item["content"])
            blob_hash = content_hash(content)
            contents[blob_hash] = content
            rest = {key: value for key, value in item.items() if key != "content"}
            media[name].append({**rest, "blob": blob_hash})
    return Input(message=run_input.message, media=media, options=run_input.options), contents


async def fill_in_media(database: Database, view: RunView) -> None:
    """Replace the references in a run's media with their content. Media of the output keep their reference as well."""
    output = view.output
    hashes = _blob_hashes(view.input.media) | (_blob_hashes(output.media) if output is not None else set())
    if hashes:
        contents = await database.scan(lambda tx: blobs.several(tx, hashes))  # many bytes: not on the event loop
        view.input.media = _with_contents(view.input.media, contents)
        if output is not None:
            output.media = _with_contents(output.media, contents, keeps_reference=True)
        view.characters += sum(map(len, contents.values()))
        await clock.yield_to_others()  # rendering the answer takes just as long: let other tasks run in between


def _blob_hashes(media: Mapping[str, list[JsonObject]]) -> set[str]:
    return {item["blob"] for items in media.values() for item in items if "blob" in item}


def _with_contents(
    media: Mapping[str, list[JsonObject]], contents: dict[str, bytes], *, keeps_reference: bool = False
) -> dict[str, list[JsonObject]]:
    def with_content(item: JsonObject) -> JsonObject:
        content = contents.get(str(item.get("blob")))
        filled = {key: value for key, value in item.items() if key != "blob"}
        if content is not None:
            filled["content"] = base64.b64encode(content).decode()
            if keeps_reference:
                filled["blob"] = item["blob"]
        return filled

    return {name: [with_content(item) for item in items] for name, items in media.items()}


def media_item(view: RunView, blob_hash: str) -> JsonObject | None:
    """The item with this content, among a run's input and output media."""
    all_media = [view.input.media, *([view.output.media] if view.output is not None else [])]
    items = (item for media in all_media for items in media.values() for item in items)
    return next((item for item in items if item.get("blob") == blob_hash), None)
