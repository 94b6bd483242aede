"""Media between models: what one was given goes on to another that reads it, a member's or one beside the turns."""

from collections.abc import Sequence

from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.models import Model

from musterd.core.jsontypes import Json
from musterd.loop.assignment import Assignment
from musterd.loop.delegation import Delegated, words_tasks
from musterd.loop.run_tree import RunTree
from musterd.loop.stored_media import with_each
from musterd.models.image_addresses import passes_image_addresses_on
from musterd.models.media_support import kind_of, not_taken


def member_prompt(world: RunTree, run: Assignment, one: Delegated) -> str | Sequence[UserContent]:
    """What a member is asked: its task, or its leader's own words, and behind them the media that the leader was given.

    What its model cannot read is named in words.
    """
    if isinstance(run.prompt, str):
        return one.task
    said, *media = run.prompt
    task = one.task if words_tasks(run.component) else said
    if not one.member.spec.send_media_to_model:
        return task if isinstance(task, str) else one.task
    model = world.models.of(one.member)
    return [task, *(_as_read_by(model, item) for item in media)]


def readable_by(model: Model, messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """A conversation as a model can read it that was not asked at first: what it cannot is named in words."""

    def read(item: Json) -> Json:
        return _as_read_by(model, item)

    return [with_each(message, read) if _has_media(message) else message for message in messages]


def _has_media(message: ModelMessage) -> bool:
    """Whether a request holds media; a model's own answers are its own affair."""
    return isinstance(message, ModelRequest) and any(
        isinstance(part, UserPromptPart | ToolReturnPart) and isinstance(part.content, list | tuple)
        for part in message.parts
    )


def _as_read_by(model: Model, item: UserContent) -> UserContent:
    if isinstance(item, ImageUrl):
        # No other model is handed an address: this machine would fetch it.
        return item if passes_image_addresses_on(model) else f'<image url="{item.url}"/>'
    if isinstance(item, BinaryContent):
        if not item.data:
            return f'<file id="{item.identifier}" type="{item.media_type}">It is no longer stored.</file>'
        words = not_taken(model, kind_of(item.media_type), item.media_type)
        if words is not None:
            return f'<file id="{item.identifier}" type="{item.media_type}">Not shown: you cannot read {words}.</file>'
    return item
