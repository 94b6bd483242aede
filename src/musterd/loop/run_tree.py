"""The state that all runs of one tree share while an attempt drives them."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import Model

from musterd.core import clock, jsontext
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.core.requirements import ApprovalRow
from musterd.core.settings import Settings
from musterd.declare import BaseComponent, Component
from musterd.loop.budget import Budgets
from musterd.loop.history import NO_HISTORY, NO_MEMBER_HISTORY, HistoryLookup, MemberHistory
from musterd.loop.knowledge_bases import KnowledgeBases
from musterd.loop.member_stops import MemberStops
from musterd.loop.steps import Emit, Steps
from musterd.loop.user_functions import Threads
from musterd.models.call import ModelCaller
from musterd.models.names import ModelInfo

if TYPE_CHECKING:
    from musterd.loop.run_tools import ToolServers
    from musterd.loop.user_memories import UserMemories


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """Access to models: the process's caller, and each component's model and its names.

    :param load: prepares the models of a component and its members; must be awaited before ``of`` is called.
    :param is_loaded: whether ``load`` has nothing left to import.
    :param aside: the model of a side call of a component's run, by the call's role and the model as declared.
    :param check: raises DeclarationError if a model cannot be used; called when the server starts.
    :param warm: begins to load models that run in this process.
    """

    caller: ModelCaller
    load: Callable[[BaseComponent], Awaitable[None]]
    of: Callable[[Component], Model]
    describe: Callable[[BaseComponent], ModelInfo]
    aside: "Callable[[Component, str, str | Model], Model]"
    is_loaded: Callable[[BaseComponent], bool] = lambda component: True
    check: "Callable[[str | Model], None]" = lambda model: None
    warm: "Callable[[Iterable[str | Model]], None]" = lambda models: None


S = TypeVar("S")


class Services(Protocol):
    """Finds the service of a feature by its class, for the tools that the feature has."""

    def __call__(self, kind: type[S], /) -> S:
        """The service of this class.

        :raises LookupError: there is none in this process.
        """
        ...


def no_services(kind: type[S], /) -> S:
    """No services: those of a loop without a server."""
    raise LookupError(f"{kind.__name__} is not served here")


ReadContents = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
ReadMedia = Callable[[Collection[str]], Awaitable[Mapping[str, bytes]]]


async def no_contents(paths: Collection[str]) -> Mapping[str, str]:
    """No contents: those of the first attempt of a run."""
    return {}


async def no_media(hashes: Collection[str]) -> Mapping[str, bytes]:
    """No media."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTree:
    """The state that all runs of one tree share.

    :param salt: the root's random salt; members' run ids derive from it.
    :param dependencies: the request's values for tools; they override a component's own.
    :param call_ids: the ids of all tool calls in the tree.
    :param threads: the executor for tools that are plain functions.
    :param stops: the members that must stop.
    :param servers: access to MCP servers, for runs that have some.
    :param member_runs: of a fork, the run ids of members that had finished in the forked run, by path.
    :param approvals: the questions about tool calls and their decisions, by path.
    :param stored_steps: the names of the steps that earlier attempts of a workflow stored, by path; also of the paths
        above them, whose names are empty.
    :param finished_steps: the paths of those of them that have a result.
    :param read_contents: reads large contents that earlier attempts of a workflow stored, by the paths of their steps.
    :param read_media: reads media that runs in the tree have produced, by hash.
    :param history: reads earlier runs, for tools and session summaries.
    :param member_history: the earlier runs that members may see.
    :param services: the services of features, for tools.
    :param owner: the user that a token proved; None without tokens.
    :param knowledge_bases: searches knowledge bases; None on a server without any.
    :param knowledge_filters: the request's condition on what searches find, in the whole tree.
    :param memories: reads memories of the user; None if the user is not known, or no feature stores memories.
    :param noted: what runs in the tree have recorded so far to be changed in the memories, by path.
    :param budgets: what the runs may still use; None if neither the root nor one of its members has a budget.
    """

    root_id: str
    session_id: str
    user_id: str | None
    salt: str
    steps: Steps
    emit: Emit
    models: Models
    settings: Settings
    threads: Threads
    dependencies: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    call_ids: dict[str, None] = field(default_factory=dict)
    stops: MemberStops = field(default_factory=MemberStops)
    servers: "ToolServers | None" = None
    member_runs: Mapping[str, str] = field(default_factory=dict)
    approvals: Mapping[str, ApprovalRow] = field(default_factory=dict)
    stored_steps: Mapping[str, str] = field(default_factory=dict)
    finished_steps: frozenset[str] = frozenset()
    read_contents: ReadContents = no_contents
    read_media: ReadMedia = no_media
    history: HistoryLookup = NO_HISTORY
    member_history: MemberHistory = NO_MEMBER_HISTORY
    services: Services = no_services
    owner: str | None = None
    knowledge_bases: KnowledgeBases | None = None
    knowledge_filters: Json = None
    memories: "UserMemories | None" = None
    noted: Mapping[str, JsonObject] = field(default_factory=dict)
    budgets: Budgets | None = None

    def emit_now(self, kind: EventKind, run_id: str, data: JsonObject | None = None, place: str = "") -> None:
        """Emit an event that happened now, at the step ``place``."""
        self.emit(Event(kind, run_id, clock.now(), data or {}, place))

    def emitter(self, run_id: str, path: str) -> Callable[[EventKind, JsonObject, str], None]:
        """A function that emits events at the step ``path``.

        It takes the kind, the data, and a suffix that distinguishes events of one kind at the same step.
        """

        def emit(kind: EventKind, data: JsonObject, place: str) -> None:
            self.emit_now(kind, run_id, data, f"{path}/{place}" if place else path)

        return emit

    def claim_call_id(self, provider_id: str, path: str) -> str:
        """A tool call's id, unique in the tree: the provider's id, unless it is missing or already in use."""
        is_free = provider_id and provider_id not in self.call_ids
        call_id = provider_id if is_free else f"call_{digest(self.salt, path)}"
        self.call_ids[call_id] = None
        return call_id

    def note_call_ids(self, response: ModelResponse) -> None:
        """Register the ids of a response's tool calls, so that no other call of the tree gets the same id.

        A stored answer did not pass :meth:`claim_call_id` in this attempt, so its ids are registered here.
        """
        for part in response.parts:
            if isinstance(part, ToolCallPart):
                self.call_ids[part.tool_call_id] = None


def digest(*parts: str) -> str:
    """A short hash of the texts."""
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()


def fingerprint(kind: StepKind, component_id: str, tool: str, arguments: Json) -> str:
    """The hash by which a later attempt recognizes a step. It replaces the request, which the journal never holds."""
    return digest(kind.value, component_id, tool, jsontext.canonical(arguments))
