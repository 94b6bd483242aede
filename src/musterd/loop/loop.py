"""The loop: model turn, tool calls, model turn, and so on until the model answers.

A team's leader, a member and a nested team are all driven by :class:`Loop`. Its caller passes it the steps and a
function that emits events. Every effect on the outside world happens inside a step, so that a later attempt can drive
the same run again and reuse what is stored.
"""

from collections.abc import Awaitable, Mapping

from pydantic_ai.messages import (
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)

from musterd.core import clock
from musterd.core.errors import LimitReached
from musterd.core.events import EventKind
from musterd.core.jsontypes import Json, JsonObject
from musterd.core.records import Output, StepKind, ToolCall
from musterd.loop import hooks, reasoning_steps, state
from musterd.loop.answer_models import answers_in_form, apply_answer_models, has_output_model
from musterd.loop.approval_gate import arguments_from_person
from musterd.loop.argument_limits import final_arguments, refuse_unusable_arguments, refused_calls
from musterd.loop.assignment import Assignment, Progress
from musterd.loop.context import examples, introduction, member_history_record, system_text
from musterd.loop.context_functions import resolve_dependencies_first
from musterd.loop.conversation import NOTES, Conversation, make_storable
from musterd.loop.declared_request import declared_request
from musterd.loop.delegation import is_delegation
from musterd.loop.produced_media import media_in_response
from musterd.loop.retrieval import prompt_with_references
from musterd.loop.run_tools import run_tools
from musterd.loop.run_tree import RunTree, fingerprint
from musterd.loop.session_summaries import sum_up, sums_up
from musterd.loop.side_calls import ModelCallEvents
from musterd.loop.structured_answers import (
    CORRECTIONS,
    FINAL_TOOL,
    AnswerInvalid,
    RunAnswer,
    answer_form,
    invalid_output,
)
from musterd.loop.tasks_mode import iterate, with_open_tasks
from musterd.loop.tool_choice import tool_settings
from musterd.loop.tool_set import compresses, is_in_tasks_mode, parameters, reasons_first, tool_digests
from musterd.loop.toolbox import Toolbox
from musterd.loop.unanswered import require_answer, require_no_refusal
from musterd.loop.user_memories import Remembered, read_memories
from musterd.models.call import ModelAnswer


class Loop:
    """Drives one run of an agent, or of a team with its members."""

    def __init__(self, tree: RunTree, assignment: Assignment) -> None:
        self.tree = tree
        self.run = assignment
        self.progress = Progress()
        self.started = clock.monotonic()
        self._last_form = answer_form(assignment.component, assignment.output_schema)
        self._form = self._last_form if answers_in_form(assignment.component) else None
        self._is_reworded = has_output_model(assignment.component)
        self._model = tree.models.of(assignment.component)
        self._info = tree.models.describe(assignment.component)
        self._toolbox = Toolbox(tree, assignment, self.progress, Loop)
        self._turn = -1
        self._tokens = 0
        self._compresses = compresses(assignment.component)
        self._remembered: Remembered | None = None

    async def drive(self) -> Output:
        """Drive the run to its answer.

        :raises RunFailed: the model failed, a limit was reached, or a hook rejects the run.
        """
        # Each attempt emits all events from the beginning; the outbox skips those that are stored.
        self._emit_started()
        await resolve_dependencies_first(self.tree, self.run)
        if self.run.component.spec.pre_hooks:
            self.run = await hooks.run_pre_hooks(self.tree, self.run)
            # The toolbox refers to the run, which the hooks may have replaced.
            self._toolbox = Toolbox(self.tree, self.run, self.progress, Loop)
        # After the pre-hooks, because functions in `tools=` are passed the session state as the hooks left it.
        self._toolbox.planner.run_tools = await run_tools(self.tree, self.run)
        if self.run.component.spec.reads_memories:
            text = hooks.message_of(self.run.prompt)
            self._remembered = await read_memories(self.tree, self.run, self.run.at("p/memories"), text)
        await self._prepare()
        output = await self._answer_and_update()
        # The answer is final here: if the summary fails or its time runs out, the run completes without it.
        if sums_up(self.run):
            await sum_up(self.tree, self.run, self.progress)
        return output

    def _answer_and_update(self) -> Awaitable[Output]:
        """Come to the answer, and update the memories of the user beside it if the component asks for that."""
        if self._remembered is not None and self.run.component.spec.updates_memory_on_run:
            from musterd.loop.memory_updates import answer_with_update, updates_memories

            if updates_memories(self.run):
                return answer_with_update(self.tree, self.run, self.progress, self._remembered, self._answered)
        # No coroutine around the other one: each that waits takes memory, and thousands of runs may wait.
        return self._answered()

    async def _answered(self) -> Output:
        """Come to the answer."""
        if reasons_first(self.run.component):
            from musterd.loop.reasoning import reason

            await reason(self.tree, self.run, self.progress)
        answer = await iterate(self) if is_in_tasks_mode(self.run.component) else await self.turns()
        if not answers_in_form(self.run.component):
            answer = await apply_answer_models(self.tree, self.run, self.progress, answer, self._last_form)
        if is_in_tasks_mode(self.run.component):
            answer = with_open_tasks(self.run, answer)
        if self.run.component.spec.post_hooks:
            answer = await hooks.run_post_hooks(self.tree, self.run, self.progress, answer)
        return self._finish(answer)

    async def turns(self) -> RunAnswer:
        """Take turns until the model answers.

        :raises RunFailed: the model failed, or a limit was reached.
        """
        corrections = 0
        limit = self.run.component.spec.max_turns or self.tree.settings.max_turns
        while self._turn + 1 < limit:
            self._turn += 1
            self.progress.partial.clear()  # the text of the turn before is in the conversation, with its results
            if self._compresses:
                from musterd.loop.compression import compress

                await compress(self.tree, self.run, self.progress, self._turn, self._tokens)
            response = await self._model_turn()
            require_answer(response)
            calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
            try:
                is_answer, content = self._answer(response, calls)
            except AnswerInvalid as problem:
                require_no_refusal(response)
                corrections += 1
                if corrections > CORRECTIONS:
                    raise invalid_output(problem) from problem
                self._request_correction(calls, str(problem))
                continue
            if is_answer:
                return self._answer_of(content)
            if (answer := await self._call_tools(calls, refused_calls(response))) is not None:
                return answer
        reached = f"The limit of {limit} model calls was reached before the answer."
        raise LimitReached(f"{reached} Raise max_turns or MUSTERD_MAX_TURNS.", "max_turns")

    async def _call_tools(self, calls: list[ToolCallPart], refused: Mapping[str, str]) -> RunAnswer | None:
        """Make the calls and add their results to the conversation. Return the answer if a call ends the run."""
        results = await self._toolbox.call_all(self._turn, calls, refused)
        self._conversation.add_request(
            [
                ToolReturnPart(
                    tool_name=call.name,
                    content=self._toolbox.content_for_model(call),
                    tool_call_id=call.id,
                    metadata=None if (args := arguments_from_person(call)) is None else {NOTES: {"args": args}},
                    outcome="failed" if call.is_error else "success",
                )
                for call in results
            ]
        )
        stopping = [call for call in results if call.stops_run]
        if not stopping:
            return None
        if not any(is_delegation(self.run.component, call.name) for call in stopping):
            return self._answer_of("\n".join(call.result or "" for call in stopping))
        return self._routed_answer(stopping)

    def _routed_answer(self, calls: list[ToolCall]) -> RunAnswer | None:
        """The members' answers as this run's own; None if they do not match its schema."""
        text = "\n\n".join(call.result or "" for call in calls)
        form = self._form
        if form is None and len(calls) == 1:
            form = self._toolbox.member_answer_form(calls[0])
        if form is not None:
            try:
                return RunAnswer(form.parse(text), form.name)
            except AnswerInvalid:
                self._toolbox.void_member_text("answer_invalid")
                return None
        if not self._toolbox.has_member_spoken and not self._is_reworded:
            self.tree.emit_now(EventKind.CONTENT, self.run.voice, {"text": text}, self.run.at(f"t{self._turn}/whole"))
        return RunAnswer(text)

    def say(self, text: str) -> None:
        """Add a message in the user's role between two turns."""
        # In mode tasks the leader goes on after an answer, which may be a call.
        result = "The goal is not reached yet. Other calls of this answer were not made."
        self._conversation.add_results_of_open_calls(result)
        self._conversation.add_user_message(text)

    # --- before the first turn --------------------------------------------------------------------

    def _emit_started(self) -> None:
        run, component = self.run, self.run.component
        self._emit(
            EventKind.RUN_STARTED,
            {
                "model": self._info.model,
                "model_provider": self._info.provider,
                "component_kind": component.kind,
                "component_id": component.id,
                "component_name": component.name,
                "parent_id": run.parent_id,
                **({} if run.step is None else {"step": run.step}),
            },
        )

    async def _prepare(self) -> None:
        """Record what the run takes from the outside world before its first turn, and begin the conversation.

        An earlier attempt's record wins, so that every attempt sends the model the same messages.
        """
        run, started_at = self.run, clock.now()
        extra_tools = self._toolbox.planner.run_tools
        prompt = await prompt_with_references(self.tree, run, self.progress)
        has_form = self._form is not None
        system = await system_text(self.tree, run, started_at, self._remembered, has_form=has_form)
        self._parameters = parameters(run.component, self._form, self._model, extra_tools.definitions)
        digests = tool_digests(run.component)  # one dict for all runs of the component that have no tools of their own
        prepared = self.tree.steps.prepared(
            run.at("p"),
            fingerprint(StepKind.PREPARE, run.component.id, "", None),
            {
                "at": started_at,
                "definition": run.component.definition_hash,
                "system": "\n\n".join(part for part in (system, *extra_tools.notes) if part),
                "session_state": run.session_state,
                "state": state.copied(run.state),
                "history_runs": list(run.history_runs),
                # The session's summary changes with the end of the run; a replay reads the one that the run began with.
                **({"session_summary": run.session_summary} if run.session_summary else {}),
                **member_history_record(self.tree, run),
                "members": [member.id for member in run.component.members],
                "tools": {**digests, **extra_tools.digests} if extra_tools.digests else digests,
                "declared": declared_request(run.component),
                "retry_safe": [
                    tool.name for tool in (*run.component.tools, *extra_tools.tools.values()) if tool.retry_safe
                ],
            },
        )
        self._toolbox.planner.begin(prepared)
        # In place, because others hold the same dict. From the record, so that a later attempt begins with the state of
        # the first one; a copy, so that the run does not change the record.
        run.state.clear()
        run.state.update(state.copied(prepared["state"]))
        history = [*examples(run.component), *run.history]
        self._conversation = Conversation(prepared["system"], history, prompt, prepared["at"])
        self._conversation.add_introduction(introduction(self.tree, run))
        self.progress.conversation = self._conversation

    # --- a turn -----------------------------------------------------------------------------------

    async def _model_turn(self) -> ModelResponse:
        path = self.run.at(f"t{self._turn}/m")
        telling = self._call_events = ModelCallEvents(tree=self.tree, run=self.run, info=self._info, path=path)
        # Messages are taken in the commit of the model step that saw them. If a crash prevents that commit, the next
        # attempt gets them again; a stored step gets the same ones as before.
        for index, text in enumerate(await self.tree.steps.take_messages(path, self.run.run_id)):
            self._emit(EventKind.MESSAGE_RECEIVED, {"text": text}, f"{path}/heard{index}")
            self.say(text)
        telling.started()
        step = fingerprint(StepKind.MODEL, self.run.component.id, "", self._turn)
        answer, text = await self.tree.steps.model(path, step, self._info.model, self._call_model)
        self.tree.note_call_ids(answer.response)
        self._conversation.add_answer(answer.response, text)
        self.progress.output.usage.add(answer.spent)
        self._tokens = answer.usage.input_tokens + answer.usage.output_tokens
        telling.completed(answer)
        if files := media_in_response(answer.response, self.tree.salt, path):
            self.progress.add_media(files)
        return answer.response

    async def _call_model(self) -> ModelAnswer:
        answer = await self.tree.models.caller.stream(
            self._model,
            self._conversation.messages_for_model,
            self._parameters,
            tool_settings(self.run.component, self._turn, self._parameters),
            on_text=self._on_text,
            on_retry=self._on_retry,
            on_progress=self._call_events.progressed,
        )
        response = answer.response
        notes: JsonObject = {"seconds": round(answer.seconds, 6)}
        if answer.first_token_seconds is not None:
            notes["first_token_seconds"] = round(answer.first_token_seconds, 6)
        make_storable(response)
        calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
        # Ids are claimed before the response is stored, so that a replay reads the same ids from the journal.
        for number, part in enumerate(calls):
            path = self.run.at(f"t{self._turn}/c{number}")
            part.tool_call_id = self.tree.claim_call_id(part.tool_call_id, path)
        notes.update(refuse_unusable_arguments(calls, self.tree.settings))
        response.metadata = {**(response.metadata or {}), NOTES: notes}
        return answer

    def _on_text(self, text: str, reasoning: str) -> None:
        progress = self.progress
        if progress.output.first_token_seconds is None:
            progress.output.first_token_seconds = clock.monotonic() - self.started
            if self.run.parent_id is None:
                self.tree.steps.first_token(clock.now())
        data = {}
        if text:
            progress.partial.append(text)
            data["text"] = text
        if reasoning:
            data["reasoning"] = reasoning
        # The text of a structured answer is JSON that may still be corrected. The answer follows as a whole.
        is_intermediate = self._is_reworded or self._form is not None
        kind = EventKind.INTERMEDIATE_CONTENT if is_intermediate else EventKind.CONTENT
        self.tree.emit_now(kind, self.run.voice, data)

    def _on_retry(self, failed_try: int, wait_seconds: float, reason: str, had_text: bool) -> None:
        if had_text:
            self.progress.partial.clear()
        self._call_events.retried(failed_try, wait_seconds, reason, had_text)

    # --- the answer -------------------------------------------------------------------------------

    def _answer(self, response: ModelResponse, calls: list[ToolCallPart]) -> tuple[bool, Json]:
        """Whether the response is the answer, and its content.

        :raises AnswerInvalid: it is meant as the answer but does not match the schema.
        """
        form = self._form
        if form is not None:
            for call in calls:
                if call.tool_name == FINAL_TOOL:
                    return True, form.parse(final_arguments(response, call))
        if calls:
            return False, None
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        if form is None:
            return True, text
        return True, form.parse(text)

    def _request_correction(self, calls: list[ToolCallPart], problem: str) -> None:
        text = f"{problem}\nCorrect the answer so that it has the requested format."
        if calls:
            self._conversation.add_request(
                [
                    ToolReturnPart(
                        tool_name=call.tool_name, content=text, tool_call_id=call.tool_call_id, outcome="retried"
                    )
                    for call in calls
                ]
            )
        else:
            self._conversation.add_request([RetryFeedbackPart(content=text, retry=RetryInfo(cause="model_retry"))])

    def _answer_of(self, content: Json) -> RunAnswer:
        return RunAnswer(content, self._form.name if self._form is not None and not isinstance(content, str) else "str")

    def _finish(self, answer: RunAnswer) -> Output:
        output = self.progress.output
        output.content, output.content_type = self._with_results_in_answer(answer.content), answer.content_type
        output.reasoning = "\n\n".join(filter(None, (output.reasoning.strip(), _reasoning(self._conversation))))
        if self.progress.is_reasoning:
            reasoning_steps.end(self.tree, self.run, self.progress, self.run.at("think"))
        output.seconds = clock.monotonic() - self.started
        self.progress.is_answered = True
        if self._last_form is not None or not isinstance(output.content, str):
            self._emit(EventKind.ANSWER, {"content": output.content, "content_type": output.content_type})
        self._emit(EventKind.CONTENT_COMPLETED)
        return output

    def _with_results_in_answer(self, content: Json) -> Json:
        """The content, preceded by the tool results that are shown in the answer if it is text."""
        return "\n\n".join([*self.progress.results_in_answer, content]) if isinstance(content, str) else content

    # --- helpers ----------------------------------------------------------------------------------

    def _emit(self, kind: EventKind, data: JsonObject | None = None, place: str = "") -> None:
        self.tree.emit_now(kind, self.run.run_id, data, place)


def _reasoning(conversation: Conversation) -> str:
    """The model's reasoning in all turns of this run, if the provider sends it."""
    return "\n\n".join(
        part.content
        for message in conversation.own_messages
        if isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ThinkingPart) and part.content
    )
