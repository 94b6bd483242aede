"""What all runs of one tree share while an attempt drives them."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import Model

from musterd.core import clock, jsontext
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import StepKind
from musterd.core.requirements import ApprovalRow
from musterd.core.settings import Settings
from musterd.declare import Component
from musterd.loop.history import NO_HISTORY, NO_MEMBER_HISTORY, HistoryLookup, MemberHistory
from musterd.loop.member_stops import MemberStops
from musterd.loop.steps import Emit, Steps
from musterd.models.call import ModelCaller
from musterd.models.names import ModelInfo

if TYPE_CHECKING:
    from musterd.loop.run_tools import ToolServers


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """How the loop gets at models: the process's caller, and a component's model and its names.

    :param load: makes the models of a component and its members ready; awaited before ``of`` is asked.
    :param is_loaded: whether ``load`` would import nothing.
    """

    caller: ModelCaller
    load: Callable[[Component], Awaitable[None]]
    of: Callable[[Component], Model]
    describe: Callable[[Component], ModelInfo]
    is_loaded: Callable[[Component], bool] = lambda component: True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTree:
    """What all runs of one tree share.

    :param salt: the root's random salt; members' run ids derive from it.
    :param threads: where tools that are plain functions run.
    :param stops: which members are to stop.
    :param servers: how runs with MCP servers get at them.
    :param member_runs: the runs of members that were done before this tree began, by their place in it.
    :param dependencies: values for tools, of the request; a component's own stand below them.
    :param past: what tools and summaries look up of earlier runs.
    :param shown: what members are shown of earlier runs.
    :param asked: what persons were asked about tool calls, by path, and decided where they did.
    """

    root_id: str
    session_id: str
    user_id: str | None
    salt: str
    steps: Steps
    emit: Emit
    models: Models
    settings: Settings
    threads: Executor
    dependencies: JsonObject = field(default_factory=dict)
    metadata: JsonObject = field(default_factory=dict)
    call_ids: dict[str, None] = field(default_factory=dict)
    stops: MemberStops = field(default_factory=MemberStops)
    servers: "ToolServers | None" = None
    member_runs: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, ApprovalRow] = field(default_factory=dict)
    past: HistoryLookup = NO_HISTORY
    shown: MemberHistory = NO_MEMBER_HISTORY

    def tell(self, kind: EventKind, run_id: str, data: JsonObject | None = None, place: str = "") -> None:
        """Emit an event that happened now, at the step ``place``."""
        self.emit(Event(kind, run_id, clock.now(), data or {}, place))

    def teller(self, run_id: str, path: str) -> Callable[[EventKind, JsonObject, str], None]:
        """Tells what happens at the step ``path``: kind, data, and what tells it from others of its kind there."""

        def tell(kind: EventKind, data: JsonObject, place: str) -> None:
            self.tell(kind, run_id, data, f"{path}/{place}" if place else path)

        return tell

    def claim_call_id(self, given: str, path: str) -> str:
        """A tool call's id, unique in the tree: what the provider gave, unless it is missing or taken."""
        call_id = given if given and given not in self.call_ids else f"call_{digest(self.salt, path)}"
        self.call_ids[call_id] = None
        return call_id

    def note_call_ids(self, response: ModelResponse) -> None:
        """Note the tool calls that a model made: no other call of the tree may have the id of one of them."""
        for part in response.parts:
            if isinstance(part, ToolCallPart):
                self.call_ids[part.tool_call_id] = None


def digest(*parts: str) -> str:
    """A short hash of texts."""
    return hashlib.blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()


def fingerprint(kind: StepKind, component_id: str, tool: str, arguments: Json) -> str:
    """Hash of what a step was asked; never the request itself."""
    return digest(kind.value, component_id, tool, jsontext.canonical(arguments))
