"""The steps of a replay: each is compared with the recorded one, whose result the loop gets. Nothing is done again.

A leader's delegations are driven, so that the steps of its members are compared as well. They return what is recorded.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar

from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from musterd.core import jsontext
from musterd.core.errors import ModelFailed
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepRow, StepState
from musterd.core.requirements import Requirement, RequirementKind
from musterd.engine.recovery import answer_of, loaded, tool_step_of
from musterd.loop.compression import PLACE as SHORT_PLACE
from musterd.loop.pausing import Waits
from musterd.loop.steps import MEMORY, NOTED, Intent, MemberEnd, MemberStart, ToolStep
from musterd.models.call import ModelAnswer, ModelCaller, OnRetry, OnText
from musterd.models.call_progress import OnProgress
from musterd.testing.differences import Difference, Differs, diff_of, is_preparation, messages_difference
from musterd.testing.preparations import preparation_difference, question_difference
from musterd.testing.recording import Recording

_CALLED = {
    StepKind.MODEL: "model call",
    StepKind.TOOL: "call of the tool {}",
    StepKind.DELEGATE: "delegation with {}",
    StepKind.HOOK: "call of the hook {}",
    StepKind.FUNCTION: "call of the function {}",
    StepKind.RETRIEVE: "search of {}",
    StepKind.CHOICE: "choice of {}",
    StepKind.ASK: "question about {}",
    StepKind.PREPARE: "preparation of the run",
    StepKind.LOAD: "loading of the model {}",
}
_TAKEN = {
    "functions": "Functions in the declaration of {} were not called; their results are the recorded ones.",
    "tools": "Tools of {} that come from servers or functions are the recorded ones.",
    NOTED: "Memories of {} are the recorded ones; its memory manager was not compared.",
}
_model_step: ContextVar[StepRow] = ContextVar("musterd_replayed_model_step")


class Ended(Waits):
    """The recording ends here: the run or the member was cancelled, failed, or waits for a person.

    As with a run that waits, the branches beside this one go on.
    """

    def __init__(self) -> None:
        super().__init__([])


class ReplaySteps:
    """Implements the loop's :class:`musterd.loop.steps.Steps` over a recording.

    ``difference`` is the first one; ``compared`` counts the steps that are alike; ``notes`` are sentences about what is
    not compared.
    """

    def __init__(self, recording: Recording, notes: Sequence[str] = ()) -> None:
        self.difference: Difference | None = None
        self.notes: dict[str, None] = dict.fromkeys(notes)
        self._recording = recording
        self._reached: dict[str, None] = {}
        self._beyond: dict[str, tuple[str, str]] = {}
        self._closed: list[str] = []
        self._begun: set[str] = set()
        self._preparations: dict[str, tuple[JsonObject, JsonObject]] = {}
        self._has_lost_media = recording.has_lost_media
        if self._has_lost_media:
            self.note("Media of the run were no longer stored when it was exported, so messages were not compared.")

    @property
    def compared(self) -> int:
        """How many recorded steps today's code has reached."""
        return len(self._reached)

    def note(self, text: str) -> None:
        """Note what is not compared."""
        self.notes[text] = None

    def differ(self, path: str, aspect: str, summary: str, diff: str = "") -> Differs:
        """Note a difference, and return the exception that ends the replay."""
        component_id = self._recording.run_of(path).component_id
        difference = Difference(path=path, component_id=component_id, aspect=aspect, summary=summary, diff=diff)
        # Branches go on beside each other: what another one raises after it is not the first.
        self.difference = self.difference or difference
        return Differs(difference)

    def require_all(self) -> None:
        """Check that today's code has reached each recorded step.

        Of a run that did not come to its answer, only steps with a result count: others were cut off.

        :raises Differs: it left one out, or made one that was not recorded before it.
        """
        left_out = [step for path, step in self._recording.steps.items() if self._is_left_out(path, step)]
        if not left_out:
            return
        first = left_out[0]
        run_path = self._recording.run_of(first.path).path
        if run_path in self._beyond and not self._has_reached_later_step(first.path, run_path):
            raise self._additional(*self._beyond[run_path])
        called = _name_of(first.kind, first.name)
        raise self.differ(first.path, "missing", f"the recorded {called} is not made today.")

    def _is_left_out(self, path: str, step: StepRow) -> bool:
        """Whether today's code has not reached a step that the recorded run needed."""
        is_inner = any(path.startswith(closed) for closed in self._closed)
        if path in self._reached or is_inner or step.kind is StepKind.LOAD:
            return False
        run = self._recording.run_of(path)
        return run.is_completed or (step.result is not None and not _is_beside(path, run.path))

    def _has_reached_later_step(self, path: str, run_path: str) -> bool:
        """Whether a step of the same run that began after this one was reached."""
        paths = list(self._recording.steps)
        later = paths[paths.index(path) + 1 :]
        return any(other in self._reached and self._recording.run_of(other).path == run_path for other in later)

    def _additional(self, path: str, called: str) -> Differs:
        return self.differ(path, "additional", f"today's code makes a {called} that was not recorded.")

    def _recorded(self, path: str, kind: StepKind, name: str | None, fingerprint: str) -> StepRow:
        """The recorded step at this place.

        :raises Differs: there is none, or it is another one.
        :raises Ended: it has none, of a run that did not come to its answer.
        """
        step = self._recording.steps.get(path)
        if step is None:
            run, called = self._recording.run_of(path), _name_of(kind, name)
            if run.is_completed:
                raise self._additional(path, called)
            # Whether the recording really ends here is known once nothing more is driven: see `require_all`.
            if not _is_beside(path, run.path):
                self._beyond.setdefault(run.path, (path, called))
            raise Ended
        self._reached[path] = None
        if step.kind is not kind or (kind is not StepKind.MODEL and (step.name or "") != (name or "")):
            recorded, today = _name_of(step.kind, step.name), _name_of(kind, name)
            raise self.differ(path, "call", f"today's code makes a {today} in place of the recorded {recorded}.")
        if step.fingerprint != fingerprint:
            what = "has other arguments than" if kind in (StepKind.TOOL, StepKind.DELEGATE) else "is not"
            raise self.differ(path, "call", f"the {_name_of(kind, name)} {what} the recorded one.")
        return step

    # --- what the loop calls ------------------------------------------------------------------------

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Compare what a run begins with, and return what is recorded."""
        recorded = loaded(self._recorded(path, StepKind.PREPARE, None, fingerprint))
        if is_preparation(path):
            taken = jsontext.loads(jsontext.dumps(taken))  # as it would be recorded
            if (difference := preparation_difference(recorded, taken)) is not None:
                raise self.differ(path, *difference)
            run = self._recording.run_of(path)
            self._preparations[run.path] = recorded, taken
            if recorded["definition"] != taken["definition"] and "tools" in recorded and "declared" not in recorded:
                self.note(
                    f"{run.component_id} is declared differently today. The run began in an older version of musterd, "
                    "which recorded neither descriptions of tools nor options, so these were not compared."
                )
            if "system" in recorded and run.is_completed and not run.messages:
                self.note(f"The conversation of {run.component_id} is not stored, so its messages were not compared.")
        return recorded

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """The messages that the recorded call read."""
        return self._recording.steering.get(path, ())

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Return what is recorded. Only what a workflow begins with is read again, and compared."""
        if is_preparation(path):
            return self.prepared(path, fingerprint, await look())
        step = self._recorded(path, StepKind.PREPARE, None, fingerprint)
        place, _, last = path.rpartition("/")
        if last == NOTED:  # with the calls of the memory manager before it
            self._closed.append(f"{place}/")
        if last in _TAKEN:
            self.note(_TAKEN[last].format(self._recording.run_of(path).component_id))
        return loaded(step)

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Compare the request, and return the recorded answer."""
        recording = self._recording
        is_aside = not _is_turn(path, recording.run_of(path).path)
        if path not in recording.steps and is_aside and recording.is_budgeted:
            # A call that a budget has no room for is not recorded. Beside the turns, the run goes on without it.
            raise ModelFailed("The recorded run had no room for this call in its budget.", retryable=False)
        step = self._recorded(path, StepKind.MODEL, name, fingerprint)
        if step.name != name:
            self.note(f"{recording.run_of(path).component_id} called the model {step.name}, and calls {name} today.")
        if step.result is None:
            if step.state is StepState.FAILED:
                raise ModelFailed(json.loads(step.error or "{}").get("message"), retryable=False)
            raise Ended
        token = _model_step.set(step)
        try:
            await call()
        finally:
            _model_step.reset(token)
        return answer_of(step, self._recording.inputs.blobs), step.result

    def compare_request(self, messages: Sequence[ModelMessage]) -> ModelAnswer:
        """Compare the messages of the model call that is under way, and return the recorded answer."""
        step = _model_step.get()
        run = self._recording.run_of(step.path)
        # The conversation of a run has its turns only. What side calls read is not recorded.
        if run.messages and _is_turn(step.path, run.path) and not self._has_lost_media:
            has_short_results = self._recording.has_steps_below(run.at(SHORT_PLACE))
            diff = messages_difference(run.messages, messages, ignores_results=has_short_results)
            if diff is not None:
                raise self.differ(step.path, "messages", "the messages that the model reads differ.", diff)
        return answer_of(step, self._recording.inputs.blobs)

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Note which members' runs begin without hooks before them."""
        self._begun |= {start.path for start in members}

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Compare a call, drive the members of a delegation, and return the recorded result."""
        path = intent.path
        step = self._recorded(path, intent.kind, intent.name, intent.fingerprint)
        recorded = None if step.result is None else tool_step_of(step, self._recording.inputs.blobs)
        self._compare_question(intent, step)
        if intent.kind is StepKind.DELEGATE and self._recording.has_steps_below(path):
            if self._begins_here(path):
                await self._drive(intent, call, recorded)
            else:
                self._closed.append(f"{path}/")
                self.note(f"{intent.name} at {path} has hooks around it, so its members were not compared.")
        else:
            self._closed.append(f"{path}/")
        if recorded is None:
            raise Ended
        return recorded

    def _compare_question(self, intent: Intent, step: StepRow) -> None:
        """Compare the question to a person about a call.

        :raises Differs: today's question is another.
        """
        path, called = intent.path, _name_of(step.kind, step.name)
        question = self._recording.questions.get(path)
        preparations = self._preparations[self._recording.run_of(path).path]
        change = question_difference(*preparations, intent.name, None if question is None else question.requirement)
        if change is not None:
            raise self.differ(path, "approval", f"a person is asked differently about the {called}: {change}.")
        if intent.asks is not None and step.state is not StepState.WAITING:
            raise self.differ(path, "approval", f"today the {called} waits for a person.")

    def _begins_here(self, path: str) -> bool:
        """Whether the call itself begins members' runs. With hooks around it, they would be called again."""
        return any(f"{begun}/".startswith(f"{path}/") for begun in self._begun)

    async def _drive(self, intent: Intent, call: Callable[[], Awaitable[ToolStep]], recorded: ToolStep | None) -> None:
        try:
            today = await call()
        except Waits:
            if recorded is None:
                raise
            return  # the member was cancelled or failed, and its leader went on with what is recorded
        if recorded is not None and (today.result, today.is_error) != (recorded.result, recorded.is_error):
            summary = f"the result of the {_name_of(intent.kind, intent.name)} differs."
            raise self.differ(intent.path, "result", summary, diff_of(recorded.result, today.result))

    def abandoned(self, path: str) -> None:
        """Nothing is left running."""

    async def once(
        self,
        kind: StepKind,
        path: str,
        fingerprint: str,
        name: str,
        call: Callable[[], Awaitable[JsonObject]],
        *,
        is_followed: bool = False,
    ) -> JsonObject:
        """Return what is recorded of a hook, a search or a choice."""
        step = self._recorded(path, kind, name, fingerprint)
        self._closed.append(f"{path}/")
        if step.result is None:
            raise Ended
        return loaded(step)

    def input_changed(self, run_id: str, text: str) -> None:
        """No hook is called, so none changes an input."""

    def member_ended(self, end: MemberEnd) -> None:
        """The end of a member is compared with the result of its delegation."""

    def first_token(self, at: float) -> None:
        """No text arrives."""


class RecordedCaller(ModelCaller):
    """Answers model calls with what is recorded, after a look at the request."""

    def __init__(self, steps: ReplaySteps) -> None:
        self._steps = steps

    async def stream(
        self,
        model: Model,
        messages: list[ModelMessage],
        parameters: ModelRequestParameters,
        model_settings: ModelSettings | None,
        *,
        on_text: OnText,
        on_retry: OnRetry,
        on_progress: OnProgress | None = None,
    ) -> ModelAnswer:
        """The recorded answer.

        :raises Differs: the model would read other messages.
        """
        return self._steps.compare_request(messages)


def _is_turn(path: str, run_path: str) -> bool:
    """Whether a model call is a turn of its run, and not a side call."""
    turn, _, last = _place_in(path, run_path).partition("/")
    return last == "m" and turn[:1] == "t" and turn[1:].isdigit()


def _is_beside(path: str, run_path: str) -> bool:
    """Whether a step is one of the memory manager, which the end of its run stops at any point."""
    return _place_in(path, run_path).partition("/")[0] == MEMORY


def _place_in(path: str, run_path: str) -> str:
    """The path of a step below its run."""
    return path[len(run_path) :].strip("/")


def _name_of(kind: StepKind, name: str | None) -> str:
    return _CALLED[kind].format(name or "")
