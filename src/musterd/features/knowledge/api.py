"""The operations on knowledge bases."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core import clock
from musterd.core.callers import Caller
from musterd.core.errors import BadRequest, NotFound
from musterd.features.knowledge.answers import (
    ContentResponse,
    ContentStatusResponse,
    KnowledgeConfigResponse,
    SearchResponse,
    SourceFilesResponse,
    SourceResponse,
    config_object,
    content_object,
    search_object,
    status_object,
)
from musterd.features.knowledge.requests import (
    BaseQuery,
    ContentQuery,
    ContentsQuery,
    SearchRequest,
    SourceFilesQuery,
    SourceQuery,
    UpdateContent,
    UploadContent,
    UploadRemoteContent,
)
from musterd.features.knowledge.service import KnowledgeService
from musterd.http.auth.expiry import validity_of
from musterd.http.feature import Feature, FeatureDuty
from musterd.http.operation import Answer, operation
from musterd.http.request_bodies import release_body
from musterd.http.responses import json_answer
from musterd.http.run_operation import REPLAYED_HEADER, IdempotencyHeaders
from musterd.wire.shapes import PaginatedResponse, page_of

_TAG = "Knowledge"
_READ, _WRITE, _DELETE = "knowledge:read", "knowledge:write", "knowledge:delete"
_BASE = {404: "Knowledge base or database not found"}
_CONTENT = {404: "Content, knowledge base or database not found"}
_CHANGE = {**_CONTENT, 403: "Insufficient permissions, or the content is shared by all users"}


@operation(
    "POST",
    "/knowledge/content",
    "upload_content",
    scope=_WRITE,
    tag=_TAG,
    summary="Upload Content",
    errors={**_BASE, 409: "The Idempotency-Key was used for another request"},
    other_answers={202: Answer(ContentResponse, headers=[REPLAYED_HEADER])},
)
async def upload_content(
    service: KnowledgeService,
    request: Request,
    caller: Caller,
    headers: IdempotencyHeaders,
    query: BaseQuery,
    body: UploadContent,
) -> Response:
    """Add a file, a text or a URL, or replace the content of the same name. It is found when its job has ended."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    added = await service.add(knowledge, body.new_content(knowledge), caller, headers.key)
    release_body(request)
    return json_answer(content_object(added.content, knowledge), 202, headers.replayed(added.is_repeated))


@operation(
    "POST",
    "/knowledge/remote-content",
    "upload_remote_content",
    scope=_WRITE,
    tag=_TAG,
    summary="Upload Remote Content",
    errors={**_BASE, 400: "Unknown content source"},
    other_answers={202: Answer(ContentResponse)},
)
async def upload_remote_content(service: KnowledgeService, query: BaseQuery, body: UploadRemoteContent) -> Response:
    """Add a file of a remote source. There are no remote sources."""
    service.chosen(query.knowledge_id, query.db_id)
    raise BadRequest(f"Unknown content source: {body.config_id}. Check /knowledge/config for available sources.")


@operation("GET", "/knowledge/content", "get_content", scope=_READ, tag=_TAG, summary="List Content", errors=_BASE)
async def list_content(
    service: KnowledgeService, caller: Caller, query: ContentsQuery
) -> PaginatedResponse[ContentResponse]:
    """List contents in pages, newest first."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    page, total = await service.page(knowledge, query.filter, caller)
    data = [content_object(content, knowledge) for content in page]
    return page_of(data, total, page=query.page, limit=query.limit)


@operation(
    "GET",
    "/knowledge/content/{content_id}",
    "get_content_by_id",
    scope=_READ,
    tag=_TAG,
    summary="Get Content by ID",
    errors=_CONTENT,
)
async def get_content(
    service: KnowledgeService, request: Request, caller: Caller, query: ContentQuery, content_id: str
) -> ContentResponse:
    """Get a content; with `wait`, after its job has ended."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    async with validity_of(request).held():
        content = await service.settled(knowledge, content_id, caller, query.wait or 0.0)
    return content_object(content, knowledge)


@operation(
    "GET",
    "/knowledge/content/{content_id}/status",
    "get_content_status",
    scope=_READ,
    tag=_TAG,
    summary="Get Content Status",
    errors=_CONTENT,
)
async def get_content_status(
    service: KnowledgeService, request: Request, caller: Caller, query: ContentQuery, content_id: str
) -> ContentStatusResponse:
    """Get how far the job of a content is; with `wait`, after it has ended."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    async with validity_of(request).held():
        return status_object(await service.settled(knowledge, content_id, caller, query.wait or 0.0))


@operation(
    "PATCH",
    "/knowledge/content/{content_id}",
    "update_content",
    scope=_WRITE,
    tag=_TAG,
    summary="Update Content",
    errors={**_CHANGE, 400: "The metadata are no JSON object, or the reader is unknown"},
)
async def update_content(
    service: KnowledgeService, caller: Caller, query: BaseQuery, content_id: str, body: UpdateContent
) -> ContentResponse:
    """Change the name, the description or the metadata of a content. Searches filter by it at once."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    return content_object(await service.change(knowledge, content_id, body.details(), caller), knowledge)


@operation(
    "POST",
    "/knowledge/content/{content_id}/refresh",
    "refresh_content",
    scope=_WRITE,
    tag=_TAG,
    summary="Refresh Content",
    errors=_CHANGE,
    other_answers={202: Answer(ContentResponse)},
)
async def refresh_content(service: KnowledgeService, caller: Caller, query: BaseQuery, content_id: str) -> Response:
    """Fetch the URL of a content again. What it led to before is found until then."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    return json_answer(content_object(await service.refresh(knowledge, content_id, caller), knowledge), 202)


@operation(
    "DELETE",
    "/knowledge/content/{content_id}",
    "delete_content_by_id",
    scope=_DELETE,
    tag=_TAG,
    summary="Delete Content by ID",
    errors=_CHANGE,
)
async def delete_content(
    service: KnowledgeService, caller: Caller, query: BaseQuery, content_id: str
) -> ContentResponse:
    """Delete a content with all that belongs to it. If its job is at work, it ends."""
    await service.remove(service.chosen(query.knowledge_id, query.db_id), content_id, caller)
    return {"id": content_id}


@operation(
    "DELETE",
    "/knowledge/content",
    "delete_all_content",
    scope=_DELETE,
    tag=_TAG,
    summary="Delete All Content",
    errors=_BASE,
)
async def delete_all_content(service: KnowledgeService, caller: Caller, query: BaseQuery) -> str:
    """Delete all contents of a knowledge base. Of one per user, the caller's own; an administrator deletes all."""
    await service.remove_all(service.chosen(query.knowledge_id, query.db_id), caller)
    return "success"


@operation(
    "POST",
    "/knowledge/search",
    "search_knowledge",
    scope=_READ,
    tag=_TAG,
    summary="Search Knowledge",
    errors={**_BASE, 503: "The search needs vectors, and the embedder does not answer"},
)
async def search_knowledge(service: KnowledgeService, caller: Caller, body: SearchRequest) -> SearchResponse:
    """Search the contents of a knowledge base, the best chunk first."""
    knowledge = service.chosen(body.knowledge_id, body.db_id)
    started_at, page = clock.monotonic(), body.page
    hits = await service.find(knowledge, body.search(knowledge), caller)
    seconds = clock.monotonic() - started_at
    return search_object(hits, knowledge, page=page.page, limit=page.limit, seconds=seconds)


@operation(
    "GET",
    "/knowledge/config",
    "get_knowledge_config",
    scope=_READ,
    tag=_TAG,
    summary="Get Config",
    errors=_BASE,
)
async def get_knowledge_config(service: KnowledgeService, caller: Caller, query: BaseQuery) -> KnowledgeConfigResponse:
    """Get how contents are read, split and searched, and the keys of their metadata."""
    knowledge = service.chosen(query.knowledge_id, query.db_id)
    return config_object(knowledge, await service.visible_keys(knowledge, caller))


@operation(
    "GET",
    "/knowledge/{knowledge_id}/sources",
    "list_content_sources",
    scope=_READ,
    tag=_TAG,
    summary="List Content Sources",
    errors=_BASE,
)
async def list_sources(service: KnowledgeService, query: SourceQuery, knowledge_id: str) -> list[SourceResponse]:
    """List the remote sources of a knowledge base. There are none."""
    service.chosen(knowledge_id, query.db_id)
    return []


@operation(
    "GET",
    "/knowledge/{knowledge_id}/sources/{source_id}/files",
    "list_source_files",
    scope=_READ,
    tag=_TAG,
    summary="List Files in Source",
    errors={404: "Content source, knowledge base or database not found"},
)
async def list_source_files(
    service: KnowledgeService, query: SourceFilesQuery, knowledge_id: str, source_id: str
) -> SourceFilesResponse:
    """List the files of a remote source. There are no remote sources."""
    service.chosen(knowledge_id, query.db_id)
    raise NotFound(f"Content source not found: {source_id}")


FEATURE = Feature(
    service=KnowledgeService,
    knowledge_bases=lambda service: service,
    operations=[
        upload_content,
        upload_remote_content,
        list_content,
        get_content,
        get_content_status,
        update_content,
        refresh_content,
        delete_content,
        delete_all_content,
        search_knowledge,
        get_knowledge_config,
        list_sources,
        list_source_files,
    ],
    start=KnowledgeService.start,
    upkeep=[
        FeatureDuty(name="ingest_contents", work=KnowledgeService.upkeep),
        FeatureDuty(name="index_vectors", work=KnowledgeService.index_vectors),
    ],
    close=KnowledgeService.close,
)
