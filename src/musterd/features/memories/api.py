"""The operations on memories."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict

from musterd.core.callers import Caller
from musterd.core.errors import InvalidInput
from musterd.core.user_memories import MAX_TOPICS, MEMORY_CHARACTERS, TOPIC_CHARACTERS
from musterd.features.memories.notes import MEMORY_HOOK
from musterd.features.memories.records import Memory, MemoryFilter, MemoryStats, Optimized
from musterd.features.memories.service import MemoryService
from musterd.http.feature import Feature
from musterd.http.operation import operation
from musterd.http.parameters import (
    Body,
    Identifier,
    PageQuery,
    SearchText,
    SortOrder,
    TableQuery,
    Text,
    comma_separated,
)
from musterd.http.server import Server
from musterd.wire.problems import MISSING
from musterd.wire.shapes import PaginatedResponse, Time, page_of
from musterd.wire.times import iso_seconds

MAX_IDS = 1000
SORTABLE = ("updated_at", "created_at", "memory", "user_id", "agent_id", "team_id", "memory_id")
CHARACTERS_A_TOKEN = 4
"""Characters of text that are estimated to be one token."""

_TAG = "Memory"
_NO_DATABASE = {404: "Database not found"}
_NOT_FOUND = {404: "Memory or database not found"}

NonEmptyText = Annotated[Text, Field(min_length=1, max_length=TOPIC_CHARACTERS)]


# --- requests -----------------------------------------------------------------------------------------


class UserQuery(TableQuery):
    """The query of operations that can be limited to one user."""

    user_id: Text | None = Field(None, description="Only memories of this user")


class MemoryQuery(PageQuery, UserQuery):
    """The query of ``GET /memories``."""

    agent_id: Text | None = Field(None, description="Only memories that this agent wrote")
    team_id: Text | None = Field(None, description="Only memories that this team wrote")
    search_content: SearchText | None = Field(None, description="Only memories whose text contains this, ignoring case")
    topics: Annotated[list[NonEmptyText], BeforeValidator(comma_separated)] = Field(
        default_factory=list, max_length=MAX_TOPICS, description="Only memories that have all of these topics"
    )
    sort_by: Text = Field(SORTABLE[0], description=f"One of {', '.join(f'`{name}`' for name in SORTABLE)}")
    sort_order: SortOrder = SortOrder.DESC

    @property
    def filter(self) -> MemoryFilter:
        """What to list. An unknown ``sort_by`` is the first one, as in AgentOS."""
        return MemoryFilter(
            user_id=self.user_id,
            agent_id=self.agent_id,
            team_id=self.team_id,
            topics=tuple(self.topics),
            search_content=self.search_content,
            sort_by=self.sort_by if self.sort_by in SORTABLE else SORTABLE[0],
            is_descending=self.sort_order is SortOrder.DESC,
            limit=self.limit,
            page=self.page,
        )


class StatsQuery(PageQuery, UserQuery):
    """The query of ``GET /user_memory_stats``."""


class UserMemoryCreateSchema(Body):
    """The text and topics of a memory."""

    memory: Text = Field(min_length=1, max_length=MEMORY_CHARACTERS)
    user_id: Identifier | None = Field(None, description="The user it is about.")
    topics: list[NonEmptyText] | None = Field(None, max_length=MAX_TOPICS)

    @property
    def distinct_topics(self) -> list[str]:
        """The topics, each once, in order."""
        return list(dict.fromkeys(self.topics or ()))


class DeleteMemoriesRequest(Body):
    """Which memories to delete."""

    memory_ids: list[NonEmptyText] = Field(min_length=1, max_length=MAX_IDS)
    user_id: Identifier | None = Field(None, description="Only memories of this user.")


class OptimizeMemoriesRequest(Body):
    """Which user's memories to merge, and with which model."""

    model_config = ConfigDict(json_schema_extra={"required": ["user_id"]})

    user_id: Annotated[Identifier | None, WithJsonSchema({"type": "string", "maxLength": 255})] = Field(
        None, description="The user; the user of a token takes precedence."
    )
    model: Identifier | None = Field(None, description="`provider:model`, as declared here.")
    apply: bool = Field(True, description="Whether the merged memory replaces the others.")


# --- answers ------------------------------------------------------------------------------------------


class UserMemorySchema(TypedDict):
    """One memory."""

    memory_id: str
    memory: str
    topics: list[str] | None
    agent_id: str | None
    team_id: str | None
    user_id: str | None
    updated_at: Time | None
    created_at: Annotated[Time, Field(description="When it was written first.")]
    input: Annotated[str | None, Field(description="The message that it comes from, if a run wrote it.")]
    source_run_id: Annotated[str | None, Field(description="The run that wrote it, if one did.")]
    profile_field: Annotated[str | None, Field(description="The field of the user's profile that it is, if it is one.")]


class UserStatsSchema(TypedDict):
    """The number of one user's memories."""

    user_id: str
    total_memories: int
    last_memory_updated_at: Time | None


class DeletedMemories(TypedDict):
    """The number of memories that were deleted."""

    deleted: int


class OptimizeMemoriesResponse(TypedDict):
    """A user's memories before and after; tokens are estimated, at four characters each."""

    memories: list[UserMemorySchema]
    memories_before: int
    memories_after: int
    tokens_before: int
    tokens_after: int
    tokens_saved: int
    reduction_percentage: float


def memory_object(memory: Memory) -> UserMemorySchema:
    """One memory as AgentOS shows it."""
    return {
        "memory_id": memory.memory_id,
        "memory": memory.memory,
        "topics": memory.topics,
        "agent_id": memory.agent_id,
        "team_id": memory.team_id,
        "user_id": memory.user_id,
        "updated_at": iso_seconds(memory.updated_at),
        "created_at": iso_seconds(memory.created_at),
        "input": memory.input,
        "source_run_id": memory.source_run_id,
        "profile_field": memory.profile_field,
    }


def stats_object(stats: MemoryStats) -> UserStatsSchema:
    """The number of one user's memories as AgentOS shows it."""
    return {
        "user_id": stats.user_id,
        "total_memories": stats.total_memories,
        "last_memory_updated_at": iso_seconds(stats.last_updated_at),
    }


def optimized_object(optimized: Optimized) -> OptimizeMemoriesResponse:
    """Merged memories as AgentOS shows them."""
    before, after = _tokens(optimized.before), _tokens(optimized.after)
    saved = max(before - after, 0)
    return {
        "memories": [memory_object(memory) for memory in optimized.after],
        "memories_before": len(optimized.before),
        "memories_after": len(optimized.after),
        "tokens_before": before,
        "tokens_after": after,
        "tokens_saved": saved,
        "reduction_percentage": round(saved / before * 100, 2) if before else 0.0,
    }


def _tokens(memories: list[Memory]) -> int:
    return sum(-(-len(memory.memory) // CHARACTERS_A_TOKEN) for memory in memories)


# --- operations ---------------------------------------------------------------------------------------


@operation(
    "POST",
    "/memories",
    "create_memory",
    scope="memories:write",
    tag=_TAG,
    summary="Create Memory",
    errors=_NO_DATABASE,
)
async def create_memory(
    memories: MemoryService, caller: Caller, database: TableQuery, body: UserMemoryCreateSchema
) -> UserMemorySchema:
    """Store a memory about a user: the one that a token proves, else `user_id`, else `default`."""
    return memory_object(await memories.add(body.memory, body.distinct_topics, body.user_id, caller))


@operation(
    "GET", "/memories", "get_memories", scope="memories:read", tag=_TAG, summary="List Memories", errors=_NO_DATABASE
)
async def list_memories(
    memories: MemoryService, caller: Caller, query: MemoryQuery
) -> PaginatedResponse[UserMemorySchema]:
    """List memories in pages."""
    page, total = await memories.search(query.filter, caller)
    return page_of([memory_object(memory) for memory in page], total, page=query.page, limit=query.limit)


@operation(
    "DELETE",
    "/memories",
    "delete_memories",
    scope="memories:delete",
    tag=_TAG,
    summary="Delete Multiple Memories",
    errors=_NO_DATABASE,
)
async def delete_memories(
    memories: MemoryService, caller: Caller, database: TableQuery, body: DeleteMemoriesRequest
) -> None:
    """Delete memories. Ids that do not exist are ignored."""
    await memories.forget_many(body.memory_ids, body.user_id, caller)


@operation(
    "GET",
    "/memories/{memory_id}",
    "get_memory",
    scope="memories:read",
    tag=_TAG,
    summary="Get Memory by ID",
    errors=_NOT_FOUND,
)
async def get_memory(memories: MemoryService, caller: Caller, memory_id: str, query: UserQuery) -> UserMemorySchema:
    """Get one memory."""
    return memory_object(await memories.view(memory_id, query.user_id, caller))


@operation(
    "PATCH",
    "/memories/{memory_id}",
    "update_memory",
    scope="memories:write",
    tag=_TAG,
    summary="Update Memory",
    errors=_NOT_FOUND,
)
async def update_memory(
    memories: MemoryService, caller: Caller, memory_id: str, database: TableQuery, body: UserMemoryCreateSchema
) -> UserMemorySchema:
    """Replace a memory's text and topics. If `user_id` is given, it must be the memory's."""
    return memory_object(await memories.change(memory_id, body.memory, body.distinct_topics, body.user_id, caller))


@operation(
    "DELETE",
    "/memories/{memory_id}",
    "delete_memory",
    scope="memories:delete",
    tag=_TAG,
    summary="Delete Memory",
    errors=_NOT_FOUND,
)
async def delete_memory(memories: MemoryService, caller: Caller, memory_id: str, query: UserQuery) -> None:
    """Delete one memory."""
    await memories.forget(memory_id, query.user_id, caller)


@operation(
    "DELETE",
    "/users/{user_id}/memories",
    "delete_user_memories",
    scope="memories:delete",
    tag=_TAG,
    summary="Delete All Memories of a User",
)
async def delete_user_memories(memories: MemoryService, caller: Caller, user_id: str) -> DeletedMemories:
    """Delete all memories of a user that the caller may see: their own, or those of any user for an administrator.

    These are the memories about the user, and those that belong to the user because they were written in the user's
    sessions. A run that is in progress may add memories afterwards.
    """
    return {"deleted": await memories.forget_user(user_id, caller)}


@operation(
    "GET",
    "/memory_topics",
    "get_memory_topics",
    scope="memories:read",
    tag=_TAG,
    summary="Get Memory Topics",
    errors=_NO_DATABASE,
)
async def list_topics(memories: MemoryService, caller: Caller, query: UserQuery) -> list[str]:
    """List every topic that a memory has, each once."""
    return await memories.topics(query.user_id, caller)


@operation(
    "GET",
    "/user_memory_stats",
    "get_user_memory_stats",
    scope="memories:read",
    tag=_TAG,
    summary="Get User Memory Statistics",
    errors=_NO_DATABASE,
)
async def list_stats(memories: MemoryService, caller: Caller, query: StatsQuery) -> PaginatedResponse[UserStatsSchema]:
    """Memory counts per user, most recent first."""
    page, total = await memories.stats(query.user_id, caller, limit=query.limit, page=query.page)
    return page_of([stats_object(stats) for stats in page], total, page=query.page, limit=query.limit)


@operation(
    "POST",
    "/optimize-memories",
    "optimize_memories",
    scope="memories:write",
    tag=_TAG,
    summary="Optimize User Memories",
    errors={
        404: "The user has no memories, or the database is not found",
        409: "The user's memories have changed in the meantime",
    },
)
async def optimize_memories(
    server: Server, memories: MemoryService, caller: Caller, database: TableQuery, body: OptimizeMemoriesRequest
) -> OptimizeMemoriesResponse:
    """Let a model merge all memories of a user into one, except the fields of the profile.

    One request merges at most 20,000 characters, the oldest memories; repeat it for more. If the model's text has more
    than the 4,000 characters that a run reads, the response is 503 and nothing changes.

    Memories that were written in another user's sessions belong to that user and become a memory of their own. With
    `apply=false` nothing is stored. The model is one that this server uses; by default `MUSTERD_MEMORY_MODEL`.
    """
    user_id = caller.sees_only or body.user_id
    if user_id is None:
        raise InvalidInput.at(("body", "user_id"), *MISSING)
    server.require_ready()
    return optimized_object(await memories.optimize(user_id, body.model, body.apply, caller))


FEATURE = Feature(
    service=lambda server: MemoryService(server.resources),
    memory_hook=MEMORY_HOOK,
    operations=[
        create_memory,
        list_memories,
        delete_memories,
        get_memory,
        update_memory,
        delete_memory,
        delete_user_memories,
        list_topics,
        list_stats,
        optimize_memories,
    ],
)
