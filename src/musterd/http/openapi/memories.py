"""The operations on memories of users, and their shapes."""

from musterd.http.openapi.answers import answer, errors
from musterd.http.openapi.described import (
    Described,
    Schema,
    flag,
    in_path,
    in_query,
    many,
    nullable,
    number,
    record,
    ref,
    text,
    whole,
)
from musterd.http.openapi.query_parts import DATABASE, SORT_ORDER, paged
from musterd.wire.memories import IDS, MEMORY_CHARACTERS, SORTABLE, TOPIC_CHARACTERS, TOPICS
from musterd.wire.pages import PAGES_FROM_0

_TAGS = ("Memory",)
_ID = in_path("memory_id", "The memory's id")
_USER_ID = in_query("user_id", text("Only of this user"))
_NOT_FOUND = {"_404": "Memory or database not found"}
_NO_DATABASE = {"_404": "Database not found"}
_ONE = {"200": answer("The memory", ref("UserMemorySchema"))}
_WRITING = ("401", "403", "413", "422", "503")


def _body(schema: str) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": ref(schema)}}}


MEMORIES: dict[str, Described] = {
    "create_memory": Described(
        tags=_TAGS,
        summary="Create Memory",
        description="Remember something of a user: of the one that a token names, else of `user_id`, else of "
        "`default`.",
        parameters=DATABASE,
        body=_body("UserMemoryCreateSchema"),
        answers={**_ONE, **errors(*_WRITING, **_NO_DATABASE)},
    ),
    "get_memories": Described(
        tags=_TAGS,
        summary="List Memories",
        description="A page of memories.",
        parameters=[
            _USER_ID,
            in_query("agent_id", text("Only those that this agent noted")),
            in_query("team_id", text("Only those that this team noted")),
            in_query("search_content", text("Only those in whose text this stands, in any case")),
            *paged(PAGES_FROM_0),
            in_query("sort_by", text(f"One of {', '.join(f'`{name}`' for name in SORTABLE)}", default=SORTABLE[0])),
            SORT_ORDER,
            *DATABASE,
            in_query("topics", many(text(), "Only those that have each of these topics, separated by commas")),
        ],
        answers={
            "200": answer("The page", ref("PaginatedResponse_UserMemorySchema_")),
            **errors("401", "422", "503", **_NO_DATABASE),
        },
    ),
    "delete_memories": Described(
        tags=_TAGS,
        summary="Delete Multiple Memories",
        description="Forget memories. Those that do not exist are forgotten already.",
        parameters=DATABASE,
        body=_body("DeleteMemoriesRequest"),
        answers={"204": answer("They are forgotten"), **errors(*_WRITING, **_NO_DATABASE)},
    ),
    "get_memory": Described(
        tags=_TAGS,
        summary="Get Memory by ID",
        description="One memory.",
        parameters=[_ID, _USER_ID, *DATABASE],
        answers={**_ONE, **errors("401", "422", "503", **_NOT_FOUND)},
    ),
    "update_memory": Described(
        tags=_TAGS,
        summary="Update Memory",
        description="Replace a memory's text and topics. Where `user_id` is given, it must be the memory's.",
        parameters=[_ID, *DATABASE],
        body=_body("UserMemoryCreateSchema"),
        answers={**_ONE, **errors(*_WRITING, **_NOT_FOUND)},
    ),
    "delete_memory": Described(
        tags=_TAGS,
        summary="Delete Memory",
        description="Forget a memory.",
        parameters=[_ID, _USER_ID, *DATABASE],
        answers={"204": answer("It is forgotten"), **errors(*_WRITING, **_NOT_FOUND)},
    ),
    "get_memory_topics": Described(
        tags=_TAGS,
        summary="Get Memory Topics",
        description="Every topic that memories have, once.",
        parameters=[_USER_ID, *DATABASE],
        answers={"200": answer("The topics", many(text())), **errors("401", "422", "503", **_NO_DATABASE)},
    ),
    "get_user_memory_stats": Described(
        tags=_TAGS,
        summary="Get User Memory Statistics",
        description="How much is remembered of each user, who was remembered last first.",
        parameters=[*paged(PAGES_FROM_0), _USER_ID, *DATABASE],
        answers={
            "200": answer("The page", ref("PaginatedResponse_UserStatsSchema_")),
            **errors("401", "422", "503", **_NO_DATABASE),
        },
    ),
    "optimize_memories": Described(
        tags=_TAGS,
        summary="Optimize User Memories",
        description="Have a model put all that is remembered of a user into one memory. With `apply=false` nothing "
        "is changed. The model is one that this server uses; without one, that of `MUSTERD_MEMORY_MODEL`.",
        parameters=DATABASE,
        body=_body("OptimizeMemoriesRequest"),
        answers={
            "200": answer("What became of them", ref("OptimizeMemoriesResponse")),
            **errors(
                *_WRITING,
                _404="Nothing is remembered of the user, or the database is not found",
                _409="The user's memories have changed meanwhile",
            ),
        },
    ),
}

_USER = nullable(text("Whom it is about.", maxLength=255))
_TOPICS = nullable(many(text(minLength=1, maxLength=TOPIC_CHARACTERS), maxItems=TOPICS))
MEMORY_SCHEMAS: dict[str, Schema] = {
    "UserMemorySchema": record(
        "UserMemorySchema",
        {
            "memory_id": text(),
            "memory": text(),
            "topics": nullable(many(text())),
            "agent_id": nullable(text("The agent that noted it.")),
            "team_id": nullable(text("The team that noted it.")),
            "user_id": nullable(text("Whom it is about.")),
            "updated_at": nullable(text(format="date-time")),
        },
    ),
    "PaginatedResponse_UserMemorySchema_": record(
        "PaginatedResponse[UserMemorySchema]", {"data": many(ref("UserMemorySchema")), "meta": ref("PaginationInfo")}
    ),
    "UserMemoryCreateSchema": record(
        "UserMemoryCreateSchema",
        {"memory": text(minLength=1, maxLength=MEMORY_CHARACTERS), "user_id": _USER, "topics": _TOPICS},
        optional=["user_id", "topics"],
    ),
    "DeleteMemoriesRequest": record(
        "DeleteMemoriesRequest",
        {
            "memory_ids": many(text(minLength=1, maxLength=255), minItems=1, maxItems=IDS),
            "user_id": nullable(text("Only those of this user.", maxLength=255)),
        },
        optional=["user_id"],
    ),
    "UserStatsSchema": record(
        "UserStatsSchema",
        {
            "user_id": text(),
            "total_memories": whole(minimum=0),
            "last_memory_updated_at": nullable(text(format="date-time")),
        },
    ),
    "PaginatedResponse_UserStatsSchema_": record(
        "PaginatedResponse[UserStatsSchema]", {"data": many(ref("UserStatsSchema")), "meta": ref("PaginationInfo")}
    ),
    "OptimizeMemoriesRequest": record(
        "OptimizeMemoriesRequest",
        {
            "user_id": text("Whose memories; a proved user comes before it.", maxLength=255),
            "model": nullable(text("`provider:model`, as declared here.", maxLength=255)),
            "apply": flag("Whether the one takes the others' place.", default=True),
        },
        optional=["model", "apply"],
    ),
    "OptimizeMemoriesResponse": record(
        "OptimizeMemoriesResponse",
        {
            "memories": many(ref("UserMemorySchema")),
            "memories_before": whole(minimum=0),
            "memories_after": whole(minimum=0),
            "tokens_before": whole("Estimated, at four characters a token.", minimum=0),
            "tokens_after": whole(minimum=0),
            "tokens_saved": whole(minimum=0),
            "reduction_percentage": number(minimum=0, maximum=100),
        },
    ),
}
