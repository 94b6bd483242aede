"""Loads what an attempt starts from (the request, the session, earlier attempts' records) in the loop's terms."""

import functools
from collections.abc import Collection, Mapping, Sequence

import structlog
from pydantic_ai.messages import ModelMessage, UserContent

from musterd.core import clock, jsontext
from musterd.core.callers import is_person
from musterd.core.errors import LimitReached
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow
from musterd.core.settings import Settings
from musterd.declare import BaseComponent, Component, WorkflowComponent
from musterd.engine import recovery
from musterd.engine.attempt import Attempt
from musterd.engine.budgeted_journal import BudgetedJournal
from musterd.engine.database_retry import until_available
from musterd.engine.history import StoredHistory, history_of, history_query_of, member_history_of
from musterd.engine.input_media import media_of, prompt_of
from musterd.engine.journal import Journal
from musterd.engine.memory_hook import StoredMemories
from musterd.engine.recovery import Recovered
from musterd.engine.tracing import traced
from musterd.flow.walk import Walk, drivable
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.budget import Budgets, PriorUsage
from musterd.loop.dynamic_members import with_dynamic_members
from musterd.loop.history import NO_MEMBER_HISTORY, MemberHistory
from musterd.loop.loop import Loop
from musterd.loop.media import readable_by
from musterd.loop.metering import budgets_of, metered
from musterd.loop.run_tree import Models, RunTree
from musterd.loop.steps import Emit
from musterd.models.image_addresses import passes_image_addresses_on
from musterd.store import attempt_input, blobs, step_contents
from musterd.store.attempt_input import AttemptInput, HistoryQuery
from musterd.store.database import Tx
from musterd.store.shards import SessionTx

log = structlog.get_logger("musterd.engine")

NOTHING_STORED = Recovered()
"""What the first attempt of a run recovers."""
_NO_MEMBERS: Mapping[str, str] = {}


async def load(attempt: Attempt) -> Loop | Walk:
    """Load what the attempt starts from, and return the loop or the walk that drives its run.

    :raises LimitReached: the request makes the session's state too large.
    :raises ReplayDiverged: a newer version of musterd stored a step in a format that this one cannot read.
    :raises RunFailed: the function that returns the team's members failed.
    """
    resources, run = attempt.resources, attempt.run
    attempt.inbox.open()
    component = await _component_with_models(attempt)
    emit = _emit_for(component, attempt)
    recovered = await _recover(attempt, emit)
    earlier_values = recovered.prepared
    # The first attempt stored which earlier runs it was shown; later ones read the same runs again, so that a replay
    # asks the model what the first attempt asked.
    history_query = history_query_of(component, earlier_values)
    inputs = await until_available(
        lambda: resources.database.read(lambda tx: attempt_input.load(tx, run, history_query)), run.run_id
    )
    options = inputs.input.options
    budgets = _budgets(component, options, recovered, resources.models)
    journal, models, settings = _journal_and_models(attempt, recovered, budgets)
    tree = RunTree(
        root_id=run.run_id,
        session_id=run.session_id,
        user_id=run.user_id,
        salt=run.salt or clock.new_id(),
        steps=journal,
        emit=emit,
        models=models,
        settings=settings,
        threads=resources.threads,
        dependencies=options.get("dependencies") or {},
        metadata=options.get("metadata") or {},
        call_ids=recovered.call_ids,
        stops=attempt.inbox.member_stops,
        servers=resources.servers,
        services=resources.services,
        history=StoredHistory(resources.database, run),
        member_history=_member_history(history_query, inputs),
        member_runs=members_of_fork(options),
        approvals=recovered.questions,
        owner=run.owner,
        knowledge_bases=resources.knowledge_bases(),
        knowledge_filters=options.get("knowledge_filters"),
        memories=_memories(attempt, component),
        noted=journal.noted,
        budgets=budgets,
        **(_stored_steps(attempt, recovered) if isinstance(component, WorkflowComponent) else {}),
    )
    assignment = assignment_of(component, run, inputs, resources.models)
    attempt.journal, attempt.budgets = journal, budgets
    # Only in the first attempt: later ones use the state that it stored, which passed this check.
    if earlier_values is None and "session_state" in options:
        _check_state_size(assignment.state, settings)
    attempt.state_before = _state_before(inputs, earlier_values)
    if attempt.span is not None:
        tree = traced(tree, attempt.span)
    return drivable(tree, await with_dynamic_members(tree, assignment))


def _memories(attempt: Attempt, component: BaseComponent) -> StoredMemories | None:
    """The memories of the run's user; None if the user is not known, or nothing stores memories."""
    resources, run = attempt.resources, attempt.run
    if resources.memory_hook is None:
        return None
    if is_person(run.user_id):
        return StoredMemories(resources.database, resources.memory_hook, run)
    if any(part.spec.reads_memories or part.spec.enable_agentic_memory for part in component.agents_and_teams()):
        _log_unknown_user(component.id)
    return None


@functools.cache
def _log_unknown_user(component_id: str) -> None:
    """Log it once for each component."""
    log.info("a run without a person as its user neither reads nor writes memories", component=component_id)


def _stored_steps(attempt: Attempt, recovered: Recovered) -> JsonObject:
    """What a walk knows of the steps that earlier attempts stored. It reads large contents when a step gets them."""
    run, database = attempt.run, attempt.resources.database

    async def read_contents(paths: Collection[str]) -> Mapping[str, str]:
        async def read(tx: Tx) -> Mapping[str, str]:
            return await step_contents.of_tree(SessionTx(tx, run.session_id), run.run_id, paths)

        return await until_available(lambda: database.scan(read), run.run_id)

    async def read_media(hashes: Collection[str]) -> Mapping[str, bytes]:
        return await until_available(lambda: database.scan(lambda tx: blobs.several(tx, hashes)), run.run_id)

    return {
        "stored_steps": recovered.step_names,
        "finished_steps": recovered.finished_paths,
        "read_contents": read_contents,
        "read_media": read_media,
    }


async def _component_with_models(attempt: Attempt) -> Component | WorkflowComponent:
    """The run's component, once its models can be used."""
    resources, run = attempt.resources, attempt.run
    component = resources.component(run.component_kind, run.component_id)
    if not isinstance(component, Component | WorkflowComponent):
        raise RuntimeError(f"{run.component_kind} {run.component_id} is not served by this process")
    await resources.models.load(component)
    return component


async def _recover(attempt: Attempt, emit: Emit) -> Recovered:
    """Read what earlier attempts stored, and emit which of their streams are void."""
    run, database = attempt.run, attempt.resources.database
    # Nothing can be stored yet, so the usual run is spared the read.
    if run.attempt == 1 and not attempt.resumes and run.forked_from is None:
        return NOTHING_STORED
    # A resumed attempt has recorded steps itself. They are stored first, so that the read below finds them.
    await attempt.outbox.commit()
    recovered = await until_available(lambda: database.scan(lambda tx: recovery.load(tx, run)), run.run_id)
    if recovered.emitted_keys:  # else no event is stored: for subscribers, the run starts now
        attempt.outbox.resume(recovered.emitted_keys, recovered.model_calls)
        _emit_continued(attempt, recovered, emit)
    if recovered.has_closed:
        # The member's cancel that closed the question must be known before the member is driven again.
        await attempt.inbox.look()
    return recovered


def _emit_continued(attempt: Attempt, recovered: Recovered, emit: Emit) -> None:
    """Emit that the run goes on, and those of its members that waited for a decision.

    The root goes on once in an attempt. A member may pause, be decided and go on several times in it.
    """
    run = attempt.run
    is_decided = any(row.state == "decided" for row in recovered.approvals.values())
    data: JsonObject = {"attempt": run.attempt, "reason": "decided" if is_decided else "recovered"}
    now, place = clock.now(), f"attempt {run.attempt}"
    member_place = f"{place}/{attempt.resumes}" if attempt.resumes else place
    root_data = {**data, "superseded": recovered.superseded}
    emit(Event(EventKind.RUN_CONTINUED, run.run_id, now, root_data, place))
    for member_run_id in recovered.continued:
        emit(Event(EventKind.RUN_CONTINUED, member_run_id, now, data, member_place))


def _check_state_size(state_with_request: JsonObject, settings: Settings) -> None:
    """Refuse a request that makes the session's state too large: each of its runs would read and write all of it."""
    if len(jsontext.dumps(state_with_request)) > settings.state_bytes:
        message = (
            f"The session's state would be larger than {settings.state_bytes // 1024} KiB with what the request adds."
        )
        raise LimitReached(message, "state_too_large")
    if jsontext.has_more_values(state_with_request, state.MAX_VALUES):
        message = f"The session's state would have more than {state.MAX_VALUES:,} values with what the request adds."
        raise LimitReached(message, "state_too_large")


def _state_before(inputs: AttemptInput, earlier_values: JsonObject | None) -> JsonObject:
    """The session's state that the first attempt read; the end stores only the difference to it.

    Other runs may have changed the session's state since.
    """
    if earlier_values is None:
        return inputs.state
    state: JsonObject = earlier_values["session_state"]
    return state


def members_of_fork(options: JsonObject) -> Mapping[str, str]:
    """The members' runs that were completed in the run that this one was forked from, by path."""
    run_ids: Mapping[str, str] = options["fork"].get("members", _NO_MEMBERS) if "fork" in options else _NO_MEMBERS
    return run_ids


def assignment_of(
    component: Component | WorkflowComponent, run: RunRow, inputs: AttemptInput, models: Models
) -> Assignment[Component | WorkflowComponent]:
    """The root's run as the loop drives it."""
    spec, options = component.spec, inputs.input.options
    stored = {} if spec.overwrite_db_session_state else inputs.state
    # By key, not at any depth: what a tool removed from an object of the declared state would come back.
    initial = {**(spec.session_state or {}), **stored}
    return Assignment(
        component=component,
        run_id=run.run_id,
        parent_id=None,
        path="",
        prompt=_prompt(component, inputs, models),
        state=state.copied(state.with_entries(initial, options.get("session_state", {}))),
        history=_history(component, inputs, models),
        history_runs=inputs.history_runs,
        session_state=inputs.state,
        output_schema=options.get("output_schema"),
        opens_session=run.seq == 0,
        session_summary="" if inputs.summary is None else inputs.summary["summary"],
        request_options=options,
        media=media_of(inputs.input, inputs.blobs),
    )


def _prompt(component: BaseComponent, inputs: AttemptInput, models: Models) -> str | Sequence[UserContent]:
    if not isinstance(component, Component):  # each step passes on what its own model can read
        return prompt_of(inputs.input, inputs.blobs, passes_image_addresses_on=True)
    return prompt_of(
        inputs.input,
        inputs.blobs,
        sends_media=component.spec.send_media_to_model,
        passes_image_addresses_on=passes_image_addresses_on(models.of(component)),
    )


def _history(component: BaseComponent, inputs: AttemptInput, models: Models) -> Sequence[ModelMessage]:
    if not isinstance(component, Component):
        return ()
    history = history_of(component.spec, inputs.history, inputs.input.options, inputs.blobs)
    return readable_by(models.of(component), history)


def _member_history(query: HistoryQuery, inputs: AttemptInput) -> MemberHistory:
    return member_history_of(inputs.members_history, inputs.blobs) if query.members else NO_MEMBER_HISTORY


def _budgets(component: BaseComponent, options: JsonObject, recovered: Recovered, models: Models) -> Budgets | None:
    """The budgets that the run counts against, with what earlier attempts used of them."""
    seconds = recovered.worked_seconds + options.get("fork", {}).get("seconds", 0.0)
    history = PriorUsage(steps=list(recovered.steps.values()), seconds=seconds)
    return budgets_of(component, options.get("budget"), history, recovered.lost_characters, models)


def _journal_and_models(
    attempt: Attempt, recovered: Recovered, budgets: Budgets | None
) -> tuple[Journal, Models, Settings]:
    """The journal, the models and the settings that the loop is driven with; with a budget, they count against it."""
    resources = attempt.resources
    parts = (attempt.outbox, attempt.gate, attempt.run, recovered, attempt.inbox, resources.metrics)
    if budgets is None:
        return Journal(*parts), resources.models, resources.settings
    journal = BudgetedJournal(*parts, budgets)
    return journal, *metered(resources.models, resources.settings, budgets, journal)


def _emit_for(component: BaseComponent, attempt: Attempt) -> Emit:
    """How the run emits events: those of all runs of the tree, or only its own."""
    outbox, run_id = attempt.outbox, attempt.run.run_id
    if component.streams_members:
        return outbox.emit

    def emit_own(event: Event) -> None:
        if event.run_id == run_id:
            outbox.emit(event)

    return emit_own
