"""Media between leader and members: what the leader was given goes on to a member whose model reads it."""

from collections.abc import Sequence

from pydantic_ai.messages import BinaryContent, ImageUrl, UserContent
from pydantic_ai.models import Model

from musterd.models.addresses import passes_image_addresses_on
from musterd.models.media_taken import kind_of, not_taken
from musterd.team.assignment import Assignment
from musterd.team.delegation import Delegated, words_tasks
from musterd.team.world import World


def member_prompt(world: World, run: Assignment, one: Delegated) -> str | Sequence[UserContent]:
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


def _as_read_by(model: Model, item: UserContent) -> UserContent:
    if isinstance(item, ImageUrl):
        # No other model is handed an address: this machine would fetch it.
        return item if passes_image_addresses_on(model) else f'<image url="{item.url}"/>'
    if isinstance(item, BinaryContent):
        words = not_taken(model, kind_of(item.media_type), item.media_type)
        if words is not None:
            return f'<file id="{item.identifier}" type="{item.media_type}">Not shown: you cannot read {words}.</file>'
    return item
