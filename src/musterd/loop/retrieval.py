"""Searches of a run: under which filters and for whom, what the model reads of the hits, and the run's references.

A search is a step of the journal: the call of a tool, or a step of kind ``retrieve`` before the first turn. A later
attempt reads what the first one found, even if the knowledge base has changed since.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

from pydantic_ai.messages import UserContent

from musterd.core import clock, jsontext
from musterd.core.error_logging import exception_message, log_failure
from musterd.core.ids import has_control
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.knowledge import Hit, KnowledgeUnavailable, Search, SearchType
from musterd.core.knowledge_filters import Filter, both, parse_filters
from musterd.core.records import StepKind
from musterd.declare import Component, Knowledge
from musterd.declare.run_context import requested_arguments
from musterd.loop import state
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.context_functions import available_arguments
from musterd.loop.delegation import prompt_text
from musterd.loop.knowledge_bases import KnowledgeBases
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.user_functions import call
from musterd.models.answer_limits import byte_count

NOTHING = "No documents found"
WORDS_ONLY = "Only words were compared, because the embedder did not answer. Texts with other words may be missing."
RETRIEVED = 10
"""How many documents a ``knowledge_retriever`` is asked for if there is no knowledge base with a number of its own."""
MAX_LISTED_KEYS = 100
"""How many keys of the metadata a prompt lists."""
MAX_LISTED_KEY_CHARACTERS = 100
_FOR_MODELS = ("meta_data", "content", "name", "place")
"""The parts of a hit that a model reads. The others are for clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What a search of a run returned.

    :param items: the documents, as clients read them.
    :param note: what the model has to know about the search.
    :param seconds: how long it took.
    """

    items: Sequence[Json]
    note: str
    seconds: float

    def references(self, query: str) -> JsonObject:
        """The entry in the run's references."""
        return {"query": query, "references": list(self.items), "time": round(self.seconds, 4)}


# --- searching --------------------------------------------------------------------------------------


async def search(tree: RunTree, run: Assignment, query: str, narrowing: Json = None) -> Documents:
    """Search for ``query`` under the filters of the declaration and the request.

    :param narrowing: a filter of the model's, which has to hold in addition to these.
    :raises KnowledgeUnavailable: there is no answer, in words for the model.
    """
    started, spec = clock.monotonic(), run.component.spec
    filters = [item for item in (declared_filters(run), tree.knowledge_filters, narrowing) if item]
    if spec.knowledge_retriever is not None:
        items, note = await _call_retriever(tree, run, query, filters), ""
    else:
        assert spec.knowledge is not None, "a declaration without a knowledge base has nothing to search"
        items, note = await _search_base(tree, spec.knowledge, query, filters)
    return Documents(items=items, note=note, seconds=clock.monotonic() - started)


def declared_filters(run: Assignment) -> Json:
    """The declared condition on what the searches of a run find: its component's own, or its leader's."""
    return run.component.spec.knowledge_filters or run.leader_filters


def bases_of(tree: RunTree) -> KnowledgeBases:
    """The server's knowledge bases.

    :raises KnowledgeUnavailable: it has none.
    """
    if tree.knowledge_bases is None:
        raise KnowledgeUnavailable("This server keeps no knowledge bases.")
    return tree.knowledge_bases


def owner_of(tree: RunTree, base: Knowledge) -> str | None:
    """The user whose contents are searched in addition to the shared ones: the proved user of the run."""
    return tree.owner if base.per_user else None


async def _search_base(
    tree: RunTree, base: Knowledge, query: str, filters: Sequence[Json]
) -> tuple[Sequence[Json], str]:
    combined: Filter | None = None
    for item in filters:
        combined = both(combined, parse_filters(item))
    request = Search(
        query=query,
        search_type=cast(SearchType, base.search_type),
        limit=base.max_results,
        filters=combined,
        owner=owner_of(tree, base),
    )
    hits = await bases_of(tree).search(base, request)
    return [_document(hit) for hit in hits.hits], WORDS_ONLY if hits.missing == "vector" else ""


def _document(hit: Hit) -> JsonObject:
    document: JsonObject = {
        "meta_data": {**hit.metadata, "similarity_score": round(hit.score, 4)},
        "content": hit.text,
        "name": hit.name,
        "place": hit.place,
        "content_id": hit.content_id,
        "content_origin": hit.origin,
    }
    return {name: value for name, value in document.items() if value is not None}


async def _call_retriever(tree: RunTree, run: Assignment, query: str, filters: Sequence[Json]) -> Sequence[Json]:
    """Call the declaration's function. Its filters are the only one that there is, or a list of all."""
    spec = run.component.spec
    retriever = spec.knowledge_retriever
    assert retriever is not None
    values: JsonObject = {
        # A copy: what the function changes in the session state is not kept.
        **available_arguments(tree, replace(run, state=state.copied(run.state))),
        "query": query,
        "num_documents": RETRIEVED if spec.knowledge is None else spec.knowledge.max_results,
        "filters": (filters[0] if len(filters) == 1 else list(filters)) if filters else None,
    }
    try:
        returned = await call(tree.threads, retriever, requested_arguments(retriever, values))
        if not isinstance(returned, list | tuple | None):
            raise TypeError(f"it returned a {type(returned).__name__}, not a list")
        # Values that are not JSON, such as dates, become texts.
        return cast(list[Json], json.loads(json.dumps(list(returned or ()), default=str, allow_nan=False)))
    except Exception as error:
        log_failure("knowledge retriever failed", error, component=run.component.id, run_id=run.run_id)
        raise KnowledgeUnavailable(f"The search failed: {exception_message(error)}") from error


# --- what the model reads ---------------------------------------------------------------------------


def text_for_model(component: Component, documents: Documents) -> str:
    """The documents as the model reads them."""
    spec, items = component.spec, documents.items
    if spec.knowledge_retriever is None:
        items = [{name: item[name] for name in _FOR_MODELS if name in item} for item in items]
    if not items:
        text = NOTHING
    elif spec.references_format == "yaml":
        import yaml

        text = yaml.safe_dump(list(items), allow_unicode=True, sort_keys=False).rstrip("\n")
    else:
        text = jsontext.dumps(list(items))
    return "\n\n".join(part for part in (text, documents.note) if part)


async def prompt_with_references(tree: RunTree, run: Assignment, progress: Progress) -> str | Sequence[UserContent]:
    """The run's prompt, with what a search for its text has found if the declaration asks for it.

    A search that fails does not fail the run: its model reads why there are no references. After a search without a
    hit the model reads that there was none, and the run's references have an entry without documents.
    """
    if not run.component.spec.add_knowledge_to_context or not (query := prompt_text(run).strip()):
        return run.prompt
    step, base = fingerprint(StepKind.RETRIEVE, run.component.id, "", None), run.component.spec.knowledge
    recorded = await tree.steps.once(
        StepKind.RETRIEVE,
        run.at("p/knowledge"),
        step,
        "knowledge_retriever" if base is None else base.id,
        lambda: _retrieve(tree, run, query),
        is_followed=True,
    )
    if "problem" in recorded:
        block = f"The knowledge base could not be searched for this message: {recorded['problem']}"
    else:
        progress.output.references.append(recorded["references"])
        documents = Documents(items=recorded["references"]["references"], note=recorded["note"], seconds=0.0)
        text = text_for_model(run.component, documents)
        if documents.items:
            block = f"Use these references from the knowledge base if they help:\n<references>\n{text}\n</references>"
        else:
            block = f"The knowledge base was searched for this message: {text}"
    return f"{run.prompt}\n\n{block}" if isinstance(run.prompt, str) else [*run.prompt, block]


async def _retrieve(tree: RunTree, run: Assignment, query: str) -> JsonObject:
    try:
        documents = await search(tree, run, query)
    except KnowledgeUnavailable as error:
        return {"problem": str(error)}
    limit = tree.settings.tool_result_bytes
    if (size := byte_count(text_for_model(run.component, documents))) > limit:
        return {"problem": f"What was found has {size} bytes; a model reads at most {limit}."}
    return {"references": documents.references(query), "note": documents.note}


async def filter_keys_note(tree: RunTree, run: Assignment) -> str:
    """Which keys of the metadata the model can filter its searches by; empty if it cannot, or if there are none."""
    spec = run.component.spec
    if not (spec.enable_agentic_knowledge_filters and spec.has_search_tool) or spec.knowledge is None:
        return ""
    try:
        keys = await bases_of(tree).filter_keys(spec.knowledge, owner_of(tree, spec.knowledge))
    except KnowledgeUnavailable:
        return ""  # a search says why, if the model makes one
    listed = list(islice(filter(_can_be_listed, keys), MAX_LISTED_KEYS))
    if not listed:
        return ""
    names = ", ".join(map(jsontext.dumps, listed))
    text = f"The metadata of the documents in the knowledge base has these keys: {names}."
    if others := len(keys) - len(listed):
        text += f" It has {others} more {'key, which is' if others == 1 else 'keys, which are'} not listed here."
    return f"<knowledge_filters>\n{text}\n</knowledge_filters>"


def _can_be_listed(key: str) -> bool:
    """Whether a prompt may have the key. Everybody who adds documents chooses keys, and all users' runs show them."""
    return len(key) <= MAX_LISTED_KEY_CHARACTERS and not has_control(key)
