"""What the searches of a run found, as clients read it."""

from collections.abc import Iterable
from typing import Annotated, cast

from pydantic import Field
from typing_extensions import TypedDict

from musterd.core.jsontypes import JsonObject
from musterd.core.records import Output


class References(TypedDict):
    """What one search of a knowledge base found."""

    query: str
    references: Annotated[
        list[JsonObject | str],
        Field(
            description="The documents, each with `meta_data`, `content` and `name`, and if they are of a knowledge "
            "base with `place`, `content_id` and `content_origin`."
        ),
    ]
    time: Annotated[float, Field(description="How long it took, in seconds.")]


class RunReferences(TypedDict, total=False):
    """The sources that a run names."""

    references: Annotated[list[References], Field(description="What its searches of knowledge bases found.")]


class MemberReferences(TypedDict, total=False):
    """The references of a run's members."""

    member_references: Annotated[
        list[References],
        Field(
            description="The references that its members' searches found, in the order of the members, after it has "
            "settled."
        ),
    ]


def references_of(output: Output | None) -> list[References]:
    """What the searches of a run found; empty if it made none."""
    return cast(list[References], output.references) if output else []


def run_references(output: Output | None) -> RunReferences:
    """The sources of a run, if it has any."""
    return {"references": references} if (references := references_of(output)) else {}


def member_references(outputs: Iterable[Output]) -> MemberReferences:
    """The references of members, if they have any."""
    references = [entry for output in outputs for entry in references_of(output)]
    return {"member_references": references} if references else {}
