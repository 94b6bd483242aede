"""Media that pass from one model to another: to a member's model, or to the model of a side call."""

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
from musterd.declare import Component
from musterd.loop.assignment import Assignment
from musterd.loop.delegation import DelegatedRun, leader_words_tasks
from musterd.loop.history import member_history
from musterd.loop.run_tree import RunTree
from musterd.loop.stored_media import with_each
from musterd.models.image_addresses import passes_image_addresses_on
from musterd.models.media_support import kind_of, unsupported_media


def member_prompt(tree: RunTree, run: Assignment, delegated: DelegatedRun) -> str | Sequence[UserContent]:
    """The prompt of a member: its task, or the leader's own message, followed by the leader's media.

    Media that its model cannot read are replaced by a text.
    """
    if isinstance(run.prompt, str):
        return delegated.task
    message, *media = run.prompt
    task = delegated.task if leader_words_tasks(run.component) else message
    if not delegated.member.spec.send_media_to_model:
        return task if isinstance(task, str) else delegated.task
    model = tree.models.of(delegated.member)
    return [task, *(as_read_by(model, item) for item in media)]


def member_messages(
    tree: RunTree, member: Component, this_run: Sequence[tuple[Component, str, str]] = ()
) -> Sequence[ModelMessage]:
    """The history for a member. Media that its model cannot read are replaced by a text.

    :param this_run: member, task and answer of each delegation in earlier turns of this run.
    """
    history = member_history(tree.member_history, member, this_run)
    return readable_by(tree.models.of(member), history) if history else ()


def readable_by(model: Model, messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """A conversation for another model. Media that the model cannot read are replaced by a text."""

    def read(item: Json) -> Json:
        return as_read_by(model, item)

    return [with_each(message, read) if _has_media(message) else message for message in messages]


def _has_media(message: ModelMessage) -> bool:
    """Whether a message is a request that may hold media; responses are left as they are."""
    return isinstance(message, ModelRequest) and any(
        isinstance(part, UserPromptPart | ToolReturnPart) and isinstance(part.content, list | tuple)
        for part in message.parts
    )


def as_read_by(model: Model, item: UserContent) -> UserContent:
    """A part of a prompt for another model. A medium that the model cannot read is replaced by a text."""
    if isinstance(item, ImageUrl):
        # A model whose provider does not fetch image URLs gets none, because this machine would fetch it instead.
        return item if passes_image_addresses_on(model) else f'<image url="{item.url}"/>'
    if isinstance(item, BinaryContent):
        if not item.data:
            return f'<file id="{item.identifier}" type="{item.media_type}">It is no longer stored.</file>'
        medium = unsupported_media(model, kind_of(item.media_type), item.media_type)
        if medium is not None:
            return f'<file id="{item.identifier}" type="{item.media_type}">Not shown: you cannot read {medium}.</file>'
    return item
