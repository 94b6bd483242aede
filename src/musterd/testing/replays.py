"""Replays: today's code driven through the journal of an exported run, without calling a model or a tool."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from musterd.core import clock
from musterd.core.callers import is_person
from musterd.core.daemon_threads import DaemonThreads
from musterd.core.errors import RunFailed, RunRejected
from musterd.core.records import Output
from musterd.core.settings import Settings
from musterd.declare import BaseComponent, Component, WorkflowComponent
from musterd.engine.history import member_history_of
from musterd.engine.loading import assignment_of, members_of_fork
from musterd.flow.walk import drivable
from musterd.loop.dynamic_members import with_dynamic_members
from musterd.loop.pausing import Waits
from musterd.loop.run_tree import Models, RunTree
from musterd.models.names import NO_MODEL, describe
from musterd.testing.declarations import Declared, registry_of
from musterd.testing.differences import Difference, Differs, as_text, diff_of
from musterd.testing.recording import Recording, ReplayImpossible, Source
from musterd.testing.replay_steps import RecordedCaller, ReplaySteps
from musterd.testing.replayed_history import missing_history, with_history_of_today
from musterd.testing.settings import IsolatedSettings
from musterd.testing.stand_ins import NoKnowledge, NoMemories, stand_in


class ReplayDiffers(AssertionError):
    """Today's code differs from the recorded run.

    :param difference: the first step that differs.
    """

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A replay in which nothing differed.

    :param steps: how many steps were compared.
    :param notes: what was not compared, a sentence each.
    """

    steps: int
    notes: tuple[str, ...] = ()


def replay(recording: Source, *declared: Declared, settings: Settings | None = None) -> Replay:
    """Drive today's code through an exported run. No model and no tool is called, and nothing is stored.

    :param recording: what ``musterd runs export`` or ``Client.runs.export`` wrote: a path, its bytes or the object.
    :param declared: the team, agent or workflow of the run, or several that contain it.
    :param settings: by default those of a server with an empty environment.
    :raises ReplayDiffers: a step differs; the message names the first one and shows the difference.
    :raises ReplayImpossible: this run cannot be replayed; the message says why.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    try:
        return asyncio.run(replay_async(recording, *declared, settings=settings))
    except ReplayDiffers as error:
        difference = error.difference
    raise ReplayDiffers(difference)


async def replay_async(recording: Source, *declared: Declared, settings: Settings | None = None) -> Replay:
    """The same as :func:`replay`, for async code."""
    recorded = Recording.read(recording)
    component = _component_of(recorded, declared)
    notes = missing_history(recorded, component)
    recorded = with_history_of_today(recorded, component)
    steps = ReplaySteps(recorded, notes)
    with _threads() as threads:
        tree = _tree(recorded, component, steps, settings or IsolatedSettings(), threads)
        failure = None
        try:
            await _drive(recorded, tree, component, steps)
        except (Differs, RunFailed) as error:
            failure = error
    # Also if the user's code has handled the exception.
    if steps.difference is not None:
        raise ReplayDiffers(steps.difference) from failure
    return Replay(steps=steps.compared, notes=tuple(steps.notes))


def _component_of(recorded: Recording, declared: Sequence[Declared]) -> Component | WorkflowComponent:
    """The declaration of the recorded run.

    :raises ReplayImpossible: it is not among those that are declared.
    """
    registry = registry_of(declared)
    component = registry.component(recorded.component_kind, recorded.component_id)
    if isinstance(component, Component | WorkflowComponent):
        return component
    known = [part.id for part in registry.top_level()]
    declared_ids = f"only {', '.join(known)} {'is' if len(known) == 1 else 'are'}" if known else "nothing is"
    raise ReplayImpossible(
        f"The run is one of the {recorded.component_kind} {recorded.component_id}, but {declared_ids} declared."
    )


def _tree(
    recorded: Recording, component: BaseComponent, steps: ReplaySteps, settings: Settings, threads: DaemonThreads
) -> RunTree:
    options = recorded.inputs.input.options

    async def read_contents(paths: Collection[str]) -> Mapping[str, str]:
        return recorded.result_texts(paths)

    async def read_media(hashes: Collection[str]) -> Mapping[str, bytes]:
        return {name: recorded.inputs.blobs[name] for name in hashes if name in recorded.inputs.blobs}

    return RunTree(
        root_id=recorded.row.run_id,
        session_id=recorded.row.session_id,
        user_id=recorded.row.user_id,
        salt=clock.new_id(),
        steps=steps,
        emit=lambda event: None,
        models=Models(
            caller=RecordedCaller(steps),
            load=_nothing_to_load,
            of=lambda part: stand_in(part.model, settings),
            describe=lambda part: describe(part.model) if isinstance(part, Component) else NO_MODEL,
            aside=lambda part, role, model: stand_in(model, settings),
        ),
        settings=settings,
        threads=threads,
        dependencies=options.get("dependencies") or {},
        metadata=options.get("metadata") or {},
        member_runs=members_of_fork(options),
        approvals=recorded.questions,
        member_history=member_history_of(recorded.inputs.members_history, recorded.inputs.blobs),
        knowledge_bases=NoKnowledge(),
        knowledge_filters=options.get("knowledge_filters"),
        memories=NoMemories() if is_person(recorded.row.user_id) else None,
        read_contents=read_contents,
        read_media=read_media,
    )


async def _nothing_to_load(component: BaseComponent) -> None:
    """Models are not called, so they need not be loaded."""


@contextlib.contextmanager
def _threads() -> Iterator[DaemonThreads]:
    """Threads for functions of the declaration that are called again, such as the one that returns the members."""
    threads = DaemonThreads(4, "musterd-replay")
    try:
        yield threads
    finally:
        threads.shutdown()


async def _drive(
    recorded: Recording, tree: RunTree, component: Component | WorkflowComponent, steps: ReplaySteps
) -> None:
    """Drive the run to its end, and compare its end.

    :raises Differs: something differs.
    """
    assignment = assignment_of(component, recorded.row, recorded.inputs, tree.models)
    try:
        output = await drivable(tree, await with_dynamic_members(tree, assignment)).drive()
    except Waits:
        steps.require_all()
        _note_end(recorded, steps)
        return
    except RunRejected:
        if recorded.root["status"] != "CANCELLED":
            raise steps.differ("", "failure", "today a person's rejection ends the run.") from None
        return
    except RunFailed as failure:
        if recorded.root["status"] == "COMPLETED":
            raise steps.differ("", "failure", f"it fails today: {failure.message}") from failure
        steps.require_all()
        _note_end(recorded, steps)
        return
    steps.require_all()
    if recorded.root["status"] == "COMPLETED":
        _compare_answer(recorded, output, steps)
    else:
        steps.note("Today's code reaches an answer after the recorded steps.")
        _note_end(recorded, steps)


def _note_end(recorded: Recording, steps: ReplaySteps) -> None:
    error = recorded.root.get("error") or {}
    reason = f" ({error['code']})" if error else ""
    steps.note(f"The recorded run had the status {recorded.root['status']}{reason}; it was compared up to that point.")


def _compare_answer(recorded: Recording, output: Output, steps: ReplaySteps) -> None:
    answer = recorded.root.get("content")
    if output.content != answer:
        raise steps.differ("", "answer", "the answer differs.", diff_of(as_text(answer), as_text(output.content)))
