"""Converts one run of AgentOS to the records that musterd stores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from musterd.core import jsontext
from musterd.core.errors import LeftUnfinished, RunFailed
from musterd.core.ids import is_identifier
from musterd.core.jsontext import storable
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import ComponentKind, Input, Output, RunRow, Usage
from musterd.core.states import RunState
from musterd.core.totals import Totals
from musterd.core.trace_ids import stored_trace_id
from musterd.imports.conversations import conversation, own_messages
from musterd.imports.media import INPUT_KEYS, OUTPUT_KEYS, Contents, media_in
from musterd.imports.tool_calls import imported_tool_call
from musterd.imports.values import (
    Unreadable,
    count_in,
    number_in,
    object_in,
    objects_in,
    seconds_in,
    text_in,
    text_of,
    time_in,
)

STATES = {"COMPLETED": RunState.COMPLETED, "CANCELLED": RunState.CANCELLED, "ERROR": RunState.ERROR}
"""The states of finished runs. All others are imported as ERROR, because nothing can continue them."""
DELEGATIONS = frozenset({"delegate_task_to_member", "delegate_task_to_members"})
STATE_KEYS = frozenset({"current_user_id", "current_session_id", "current_run_id"})
"""Keys that AgentOS adds to the session state of a run."""
TICK_SECONDS = 0.001
"""The minimum time between the starts of two runs, so that lists show them in AgentOS's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The ids and owners that imported rows get.

    :param components: new ids of agents, teams and workflows, by their ids in AgentOS.
    :param has_owners: whether sessions and memories belong to their users, as on a server with tokens.
    """

    components: Mapping[str, str] = field(default_factory=dict)
    has_owners: bool = False

    def component(self, component_id: str) -> str:
        """The id of an agent, team or workflow in musterd."""
        return self.components.get(component_id, component_id)

    def owner(self, user_id: str | None) -> str | None:
        """The owner of a user's sessions and memories."""
        return user_id if self.has_owners else None


@dataclass(slots=True, kw_only=True)
class ImportedRun:
    """A run with all its records.

    :param stored: the run as AgentOS stores it.
    :param messages: its conversation, as one JSON text per message.
    :param own_messages: its messages as AgentOS stores them, without those of earlier runs.
    :param contents: the contents of its media by their hash.
    :param workflow_agent_run_id: the id of the run of a workflow's agent; None if there is none.
    """

    stored: JsonObject
    row: RunRow
    input: Input
    output: Output
    messages: list[str]
    own_messages: list[JsonObject]
    contents: Contents
    workflow_agent_run_id: Json

    def move_after(self, created_at: float) -> float:
        """Move the run's times so that it starts after another run. AgentOS stores whole seconds, so they may be equal.

        :param created_at: when the other run started.
        :return: when this run starts.
        """
        delay = created_at + TICK_SECONDS - self.row.created_at
        if delay > 0:
            for name in ("created_at", "queued_at", "started_at", "first_token_at", "ended_at"):
                if (at := getattr(self.row, name)) is not None:
                    setattr(self.row, name, at + delay)
        return self.row.created_at

    @property
    def stored_status(self) -> str:
        """The run's status in AgentOS."""
        return status_of(self.stored)


def kind_of(stored: JsonObject) -> ComponentKind | None:
    """The kind of a run's component; None if the run names none."""
    kinds: tuple[ComponentKind, ...] = ("agent", "team", "workflow")
    return next((kind for kind in kinds if stored.get(f"{kind}_id")), None)


def status_of(stored: JsonObject) -> str:
    """The status of a run in AgentOS, as AgentOS names it."""
    return text_of(stored.get("status")).upper() or "RUNNING"


def require_id(stored: Mapping[str, Json], name: str) -> str:
    """Read a required id.

    :raises Unreadable: it is missing, too long, or contains control characters.
    """
    value = stored.get(name)
    if not isinstance(value, str) or not is_identifier(value):
        raise Unreadable(f"{name} is missing, too long or contains control characters")
    return value


def without_added_keys(state: JsonObject) -> JsonObject:
    """Remove the keys that AgentOS adds to a session state."""
    return {name: value for name, value in state.items() if name not in STATE_KEYS}


def imported_run(stored: JsonObject, session: RunRow, names: Names) -> ImportedRun:
    """Convert one run. Its path and its parent are added later (:mod:`.trees`).

    :param session: a row with the values that all runs of the session share.
    :raises Unreadable: it does not have AgentOS's format.
    """
    kind, contents = kind_of(stored) or session.component_kind, Contents()
    run_id = require_id(stored, "run_id")
    component_id = text_in(stored, f"{kind}_id") or session.component_id
    output = _output(stored, contents)
    messages = own_messages(stored)
    agent_run = object_in(stored, "workflow_agent_run") if kind == "workflow" else {}
    created_at = _created_at(stored, messages if kind == "agent" else (), session.created_at)
    first_token = output.first_token_seconds
    row = RunRow(
        run_id=run_id,
        root_id=run_id,
        parent_id=None,
        session_id=session.session_id,
        owner=session.owner,
        user_id=text_in(stored, "user_id") or session.user_id,
        component_kind=kind,
        component_id=names.component(component_id),
        component_name=text_in(stored, f"{kind}_name") or component_id,
        model=text_in(stored, "model") or "",
        model_provider=text_in(stored, "model_provider") or "",
        state=STATES.get(status_of(stored), RunState.ERROR),
        lane=session.session_id,
        attempt=1,
        created_at=created_at,
        queued_at=created_at,
        started_at=created_at,
        first_token_at=None if first_token is None else created_at + first_token,
        ended_at=created_at + (output.seconds or 0.0),
        error_code=None if output.error is None else output.error["code"],
        trace_id=stored_trace_id(run_id),
    )
    return ImportedRun(
        stored=stored,
        row=row,
        input=_input(stored, kind, contents),
        output=output,
        messages=[] if kind == "workflow" else conversation(stored, contents),
        own_messages=messages,
        contents=contents,
        workflow_agent_run_id=agent_run.get("run_id"),
    )


def _created_at(stored: JsonObject, messages: Sequence[JsonObject], session_created_at: float) -> float:
    """When a run started.

    AgentOS 2.5.6 stores the start time of its process for runs of agents. The first message has the right time.

    :param messages: the own messages of an agent's run.
    """
    created_at = time_in(stored, "created_at") or session_created_at
    return max([created_at, *(time_in(message, "created_at") or 0.0 for message in messages[:1])])


def _input(stored: JsonObject, kind: ComponentKind, contents: Contents) -> Input:
    value, media = stored.get("input"), dict[str, list[JsonObject]]()
    if kind != "workflow" and isinstance(value, dict):
        media = media_in(value, INPUT_KEYS, contents)
        value = value.get("input_content")
    options: JsonObject = {}
    if metadata := object_in(stored, "metadata"):
        options["metadata"] = metadata
    if kind == "workflow" and isinstance(value, dict | list):
        options["has_input_schema"] = True  # the message is JSON, and clients see the parsed value
    return Input(message=storable(text_of(value)), media=media, options=options)


def _output(stored: JsonObject, contents: Contents) -> Output:
    content, metrics = stored.get("content"), object_in(stored, "metrics")
    # Zero for a workflow: its metrics are those of its steps, and the runs of the steps count these tokens.
    usage, asides = _usage(metrics)
    return Output(
        content=storable(content) if isinstance(content, str) else content,
        content_type=text_in(stored, "content_type") or "str",
        reasoning=text_in(stored, "reasoning_content") or "",
        usage=usage,
        asides=asides,
        cost=number_in(metrics, "cost"),
        first_token_seconds=seconds_in(metrics, "time_to_first_token"),
        seconds=seconds_in(metrics, "duration"),
        tools=[imported_tool_call(call, number) for number, call in enumerate(objects_in(stored, "tools"))],
        session_state=without_added_keys(object_in(stored, "session_state")) or None,
        error=_error(stored),
        reasoning_steps=objects_in(stored, "reasoning_steps"),
        references=[
            {"query": text_of(item.get("query")), "references": item.get("references") or [], "time": item.get("time")}
            for item in objects_in(stored, "references")
        ],
        media=media_in(stored, OUTPUT_KEYS, contents),
        step_results=_step_results(stored),
    )


def _error(stored: JsonObject) -> JsonObject | None:
    """The error of a run that failed in AgentOS, or that AgentOS had not finished."""
    status = status_of(stored)
    if status not in STATES:
        error: RunFailed = LeftUnfinished(f"This run was {status} in AgentOS when it was imported. Start it again.")
    elif STATES[status] is RunState.ERROR:
        error = RunFailed(storable(text_of(stored.get("content"))) or None)
    else:
        return None
    return {"code": error.code, "message": error.message, "retryable": error.retryable}


def _usage(metrics: JsonObject) -> tuple[Usage, list[JsonObject]]:
    """The tokens of a run, and the part of them that models other than its own used."""
    total, asides, sum_of_asides = _tokens(metrics), list[JsonObject](), Usage()
    for role in object_in(metrics, "details"):
        for share in objects_in(object_in(metrics, "details"), role) if role != "model" else ():
            usage = _tokens(share)
            sum_of_asides.add(usage)
            model, provider = text_in(share, "id") or "", text_in(share, "provider") or ""
            asides.append({"role": role, "model": model, "provider": provider, "usage": usage.as_json()})
    remaining = Usage(**total.as_json())
    remaining.subtract(sum_of_asides)
    is_whole = min(remaining.input_tokens, remaining.output_tokens) >= 0
    return (total, asides) if is_whole else (total, [])


def _tokens(metrics: JsonObject) -> Usage:
    names = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cache_write_tokens")
    return Usage(**{name: count_in(metrics, name) for name in names})


def totals_text(runs: Sequence[ImportedRun]) -> str:
    """The totals of a run with its members, as JSON text."""
    totals = Totals(cost=_sum([run.output.cost for run in runs]))
    for run in runs:
        answers = [message for message in run.own_messages if message.get("role") == "assistant"]
        totals.usage.add(run.output.usage)
        totals.model_calls += len(answers)
        totals.tool_calls += len(run.output.tools)
        totals.delegations += sum(call.name in DELEGATIONS for call in run.output.tools)
        totals.failed_calls += sum(call.is_error is True for call in run.output.tools)
    return jsontext.dumps(totals.as_json())


def _sum(costs: Sequence[float | None]) -> float | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


# --- workflows ----------------------------------------------------------------------------------------

_STEP_OUTPUT = {
    **dict.fromkeys(("content", "step_name", "step_id", "step_type", "executor_type", "executor_name", "step_run_id")),
    **dict.fromkeys(("images", "videos", "audio", "files", "metrics")),
    "success": True,
    "error": None,
    "stop": False,
}


def _step_results(stored: JsonObject) -> list[JsonObject]:
    results = stored.get("step_results")
    if results is None:
        return []
    if not isinstance(results, list):
        raise Unreadable("step_results is not a list")
    flat = [item for result in results for item in (result if isinstance(result, list) else [result])]
    return [_step_output(item) for item in objects_in({"step_results": flat}, "step_results")]


def _step_output(item: JsonObject) -> JsonObject:
    output: JsonObject = {**_STEP_OUTPUT, **{name: item[name] for name in _STEP_OUTPUT if name in item}}
    if steps := objects_in(item, "steps"):
        output["steps"] = [_step_output(step) for step in steps]
    return output
