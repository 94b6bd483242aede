"""What an attempt starts from: the request, the session, and what earlier attempts stored, as the loop takes it."""

from collections.abc import Mapping
from dataclasses import dataclass

from musterd.core import clock, jsontext
from musterd.core.errors import LimitReached
from musterd.core.events import Event, EventKind
from musterd.core.jsontypes import JsonObject
from musterd.core.records import RunRow
from musterd.core.settings import Settings
from musterd.declare import Component
from musterd.engine import recovery
from musterd.engine.budgeted_journal import BudgetedJournal
from musterd.engine.history import StoredHistory, history_of, history_wanted, shown_of
from musterd.engine.input_media import media_of, prompt_of
from musterd.engine.journal import Journal
from musterd.engine.outbox import Outbox, until_available
from musterd.engine.recovery import Recovered
from musterd.engine.resources import Resources
from musterd.engine.steering_inbox import SteeringInbox
from musterd.loop import state
from musterd.loop.assignment import Assignment
from musterd.loop.budget import Budgets, PriorUsage
from musterd.loop.history import NO_MEMBER_HISTORY
from musterd.loop.media import readable_by
from musterd.loop.member_stops import MemberStops
from musterd.loop.metering import budgets_of, metered
from musterd.loop.run_tree import Models, RunTree
from musterd.loop.steps import Emit
from musterd.models.image_addresses import passes_image_addresses_on
from musterd.store import attempt_input
from musterd.store.attempt_input import AttemptInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What an attempt drives.

    :param budgets: what it counts against; None where no budget holds.
    :param state_before: the session's state before the run.
    """

    world: RunTree
    assignment: Assignment
    journal: Journal
    budgets: Budgets | None
    state_before: JsonObject


NOTHING = Recovered()
"""What the first attempt of a run finds."""
_NO_MEMBERS: Mapping[str, str] = {}


async def load(
    resources: Resources, run: RunRow, outbox: Outbox, post: SteeringInbox, stops: MemberStops, *, is_again: bool
) -> Loaded:
    """Read what an attempt of ``run`` starts from.

    :param is_again: this attempt drove before, until a decision came.
    """
    component = resources.component(run.component_kind, run.component_id)
    if component is None:
        raise RuntimeError(f"{run.component_kind} {run.component_id} is not served here")
    await resources.models.load(component)
    emit = _emit_for(component, run, outbox)
    is_first = run.attempt == 1 and not is_again and run.forked_from is None
    recovered = NOTHING if is_first else await _recover(resources, run, outbox, emit)
    if recovered.has_closed:
        await post.look()
    earlier = recovered.prepared
    wanted = history_wanted(component, earlier)
    found = await until_available(
        lambda: resources.database.read(lambda tx: attempt_input.load(tx, run, wanted)), run.run_id
    )
    options = found.input.options
    budgets = _budgets(component, options, recovered, resources.models)
    journal, models, settings = _recording(resources, run, outbox, post, recovered, budgets)
    world = RunTree(
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
        stops=stops,
        servers=resources.servers,
        past=StoredHistory(resources.database, run),
        member_history=shown_of(found.shown) if wanted.shown else NO_MEMBER_HISTORY,
        member_runs=_members_of_fork(options),
        approvals=recovered.asked,
    )
    assignment = _assignment(component, run, found, resources.models)
    if earlier is None and "session_state" in options:
        _require_small(assignment.state, settings)
    return Loaded(
        world=world,
        assignment=assignment,
        journal=journal,
        budgets=budgets,
        state_before=found.state if earlier is None else earlier["session_state"],
    )


def _require_small(asked: JsonObject, settings: Settings) -> None:
    """Refuse what a request adds to a state that is large already: each of its runs would read and write all of it."""
    if len(jsontext.dumps(asked)) > settings.state_bytes:
        words = (
            f"The session's state would be larger than {settings.state_bytes // 1024} KiB with what the request adds."
        )
        raise LimitReached(words, "state_too_large")


def _members_of_fork(options: JsonObject) -> Mapping[str, str]:
    """The members' runs that the run which this one goes on from has done, by their place."""
    found: Mapping[str, str] = options["fork"].get("members", _NO_MEMBERS) if "fork" in options else _NO_MEMBERS
    return found


def _assignment(component: Component, run: RunRow, found: AttemptInput, models: Models) -> Assignment:
    """The root's run as the loop drives it."""
    spec, options = component.spec, found.input.options
    stored = {} if spec.overwrite_db_session_state else found.state
    initial = {**(spec.session_state or {}), **stored, **options.get("session_state", {})}
    return Assignment(
        component=component,
        run_id=run.run_id,
        parent_id=None,
        path="",
        prompt=prompt_of(
            found.input,
            found.blobs,
            sends_media=spec.send_media_to_model,
            passes_image_addresses_on=passes_image_addresses_on(models.of(component)),
        ),
        state=state.copied(initial),
        history=readable_by(models.of(component), history_of(spec, found.history, options, found.blobs)),
        history_runs=found.history_runs,
        session_state=found.state,
        output_schema=options.get("output_schema"),
        opens_session=run.seq == 0,
        session_summary="" if found.summary is None else found.summary["summary"],
        request_options=options,
        media=media_of(found.input, found.blobs),
    )


def _budgets(component: Component, options: JsonObject, recovered: Recovered, models: Models) -> Budgets | None:
    """What the run counts against, and what of it earlier attempts used."""
    seconds = recovered.worked_seconds + options.get("fork", {}).get("seconds", 0.0)
    past = PriorUsage(steps=list(recovered.steps.values()), seconds=seconds)
    return budgets_of(component, options.get("budget"), past, recovered.lost_characters, models)


def _recording(
    resources: Resources,
    run: RunRow,
    outbox: Outbox,
    post: SteeringInbox,
    recovered: Recovered,
    budgets: Budgets | None,
) -> tuple[Journal, Models, Settings]:
    """The journal, and with what the loop is driven; where a budget holds, they count against it."""
    if budgets is None:
        return Journal(outbox, run, recovered, post), resources.models, resources.settings
    journal = BudgetedJournal(outbox, run, recovered, post, budgets)
    return journal, *metered(resources.models, resources.settings, budgets, journal)


async def _recover(resources: Resources, run: RunRow, outbox: Outbox, emit: Emit) -> Recovered:
    """Find what earlier attempts stored, and say which of what they streamed is void."""
    await outbox.commit()  # where this attempt itself drove before
    recovered = await until_available(lambda: resources.database.scan(lambda tx: recovery.load(tx, run)), run.run_id)
    if not recovered.told:  # no reader saw it begin: it does now
        return recovered
    outbox.resume(recovered.told, recovered.requests)
    is_decided = any(row.state == "decided" for row in recovered.approvals.values())
    data: JsonObject = {"attempt": run.attempt, "reason": "decided" if is_decided else "recovered"}
    now, place = clock.now(), f"attempt {run.attempt}"
    told = {**data, "superseded": recovered.superseded}
    emit(Event(EventKind.RUN_CONTINUED, run.run_id, now, told, place))
    for member in recovered.continued:
        emit(Event(EventKind.RUN_CONTINUED, member, now, data, place))
    return recovered


def _emit_for(component: Component, run: RunRow, outbox: Outbox) -> Emit:
    """Where the run's events go: all, or its own alone."""
    if getattr(component.spec, "stream_member_events", True):
        return outbox.emit

    def emit_own(event: Event) -> None:
        if event.run_id == run.run_id:
            outbox.emit(event)

    return emit_own
