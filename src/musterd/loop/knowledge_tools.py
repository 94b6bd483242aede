"""The tools with which a model searches its knowledge base and adds to it."""

from typing import Annotated

from pydantic import BaseModel, Field

from musterd.core import jsontext
from musterd.core.jsontypes import Json
from musterd.core.knowledge import KnowledgeUnavailable
from musterd.declare import Component, Tool
from musterd.declare.component_options import ADD_TO_KNOWLEDGE, SEARCH_KNOWLEDGE
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.builtin_tools import Rejected, ToolCallContext, builtin_tool
from musterd.loop.retrieval import bases_of, owner_of, search, text_for_model
from musterd.loop.steps import ToolStep


class KnowledgeFilter(BaseModel):
    """A condition on the metadata of the documents."""

    key: Annotated[str, Field(description="A key of the metadata.")]
    value: Annotated[str | int | float | bool, Field(description="The value that it must have.")]


async def search_knowledge_base(context: ToolCallContext, query: str) -> str:
    """Search the knowledge base for documents about a query.

    Args:
        query: What to search for, in a few words or a sentence.
    """
    return await _search(context, query, [])


async def search_with_filters(
    context: ToolCallContext, query: str, filters: list[KnowledgeFilter] | None = None
) -> str:
    """Search the knowledge base for documents about a query, of all documents or of those with certain metadata.

    Args:
        query: What to search for, in a few words or a sentence.
        filters: Conditions on the metadata of the documents; all of them must hold. Leave it out for all documents.
    """
    return await _search(context, query, filters or [])


async def add_to_knowledge(context: ToolCallContext, query: str, result: str) -> str:
    """Add a text to the knowledge base, so that later searches find it. A text about the same query is replaced.

    Args:
        query: The question or topic that the text is about.
        result: The text.
    """
    tree, base = context.tree, context.run.component.spec.knowledge
    assert base is not None, "update_knowledge needs a knowledge base"
    if not query.strip() or not result.strip():
        raise Rejected("query and result must not be empty.")
    owner = owner_of(tree, base)
    if base.per_user and owner is None:
        # Without a user the text would be one that all users find.
        raise Rejected("The user is unknown, so nothing can be added to this knowledge base.")
    text = jsontext.dumps({"query": query, "result": result})
    try:
        await bases_of(tree).add_text(base, name=query, text=text, owner=owner)
    except KnowledgeUnavailable as error:
        raise Rejected(str(error)) from error
    return "Added to the knowledge base. Searches find it once it has been processed."


async def _search(context: ToolCallContext, query: str, filters: list[KnowledgeFilter]) -> str:
    if not query.strip():
        raise Rejected("query is empty: say what to search for.")
    narrowing: Json = [{condition.key: condition.value} for condition in filters]
    if len(narrowing) == 1:
        narrowing = narrowing[0]
    key = jsontext.canonical([query, narrowing])
    if (result := context.run.search_results.get(key)) is not None:
        return result
    try:
        documents = await search(context.tree, context.run, query, narrowing)
    except KnowledgeUnavailable as error:
        raise Rejected(str(error)) from error
    context.details["search"] = key
    if documents.items:
        context.details["references"] = documents.references(query)
    return text_for_model(context.run.component, documents)


def note_search(run: Assignment, progress: Progress, step: ToolStep) -> None:
    """Take the references of a search, stored or new, into the run's output.

    Its result answers equal searches of the run, so that these need no embedding.
    """
    details = step.details or {}
    if "references" in details:
        progress.output.references.append(details["references"])
    if "search" in details:
        run.search_results[details["search"]] = step.result


_SEARCH = builtin_tool(search_knowledge_base)
_SEARCH_WITH_FILTERS = builtin_tool(search_with_filters, SEARCH_KNOWLEDGE)
_ADD = builtin_tool(add_to_knowledge)
assert (_SEARCH.name, _ADD.name) == (SEARCH_KNOWLEDGE, ADD_TO_KNOWLEDGE)


def knowledge_tools(component: Component) -> list[Tool]:
    """The tools for its knowledge base that a component's options enable."""
    spec = component.spec
    tools = []
    if spec.has_search_tool:
        tools.append(_SEARCH_WITH_FILTERS if spec.enable_agentic_knowledge_filters else _SEARCH)
    if spec.update_knowledge:
        tools.append(_ADD)
    return tools
