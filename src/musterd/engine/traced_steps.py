"""Steps of an attempt that record spans of model calls, tool calls and members' runs; stored steps have none."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from musterd.core import jsontext, semconv
from musterd.core.errors import HandedOver, LeaseLost, MusterdError
from musterd.core.jsontypes import JsonObject
from musterd.core.records import StepKind, StepState
from musterd.core.requirements import Requirement, RequirementKind
from musterd.engine.spans import KIND, OUTCOME, PATH, RUN_ID, AttemptSpan, under
from musterd.loop.pausing import Waits
from musterd.loop.steps import Intent, MemberEnd, MemberStart, Steps, ToolStep
from musterd.models.call import ModelAnswer


class TracedSteps(Steps):
    """The steps of an attempt, with a span for each step that is really done.

    :param inner: does and records the steps.
    :param attempt: the span that is the parent of theirs.
    """

    def __init__(self, inner: Steps, attempt: AttemptSpan) -> None:
        self._inner = inner
        self._attempt = attempt
        self._tracer = attempt.spans.tracer
        self._captures_content = attempt.spans.captures_content
        self._pending_members: dict[str, MemberStart] = {}
        self._open_calls: dict[str, Span] = {}
        self._member_paths: dict[str, str] = {}

    async def model(
        self, path: str, fingerprint: str, name: str, call: Callable[[], Awaitable[ModelAnswer]]
    ) -> tuple[ModelAnswer, str]:
        """Make one model call under a span of its own, or return the stored answer."""

        async def traced() -> ModelAnswer:
            span = self._tracer.start_span(
                semconv.CHAT,
                context=self._attempt.parent_of(path),
                kind=SpanKind.CLIENT,
                attributes={semconv.OPERATION_NAME: semconv.CHAT, PATH: path},
            )
            with _ended(span), under(span):
                answer = await call()
                _note_answer(span, answer)
                return answer

        return await self._inner.model(path, fingerprint, name, traced)

    async def intend(self, intents: Sequence[Intent], members: Sequence[MemberStart]) -> None:
        """Commit the intents and members' rows. A member's span starts with the call that it belongs to, or later."""
        await self._inner.intend(intents, members)
        for member in members:
            self._pending_members[member.path] = member
        # With hooks around a delegation the members' rows are stored while its call runs, so the call's span is open
        # already.
        calls = {path for member in members for path in (member.path, member.path.rpartition("/")[0])}
        for path in calls & self._open_calls.keys():
            self._begin_members(path, self._open_calls[path])

    async def tool(
        self,
        intent: Intent,
        call: Callable[[], Awaitable[ToolStep]],
        require: Callable[[RequirementKind], Requirement],
    ) -> ToolStep:
        """Make one tool call under a span of its own, or return the stored result. Questions have no span."""
        if intent.kind is StepKind.ASK:
            return await self._inner.tool(intent, call, require)

        async def traced() -> ToolStep:
            span = self._tracer.start_span(
                f"{semconv.EXECUTE_TOOL} {intent.name}",
                context=self._attempt.parent_of(intent.path),
                attributes={
                    semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
                    semconv.TOOL_NAME: intent.name,
                    semconv.TOOL_TYPE: "function" if intent.kind.has_effect else "agent",
                    PATH: intent.path,
                },
            )
            with _ended(span), under(span):
                self._begin_members(intent.path, span)
                self._open_calls[intent.path] = span
                try:
                    result = await call()
                finally:
                    del self._open_calls[intent.path]
                self._note_result(span, result)
                return result

        return await self._inner.tool(intent, traced, require)

    def member_ended(self, end: MemberEnd) -> None:
        """Record the end of a member's run, and end its span."""
        self._inner.member_ended(end)
        self._attempt.member_ended(self._member_paths.pop(end.run_id, ""), end.state, end.output)

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
        """Do something of the loop's own; a search has a span of its own."""

        async def traced() -> JsonObject:
            attributes = {semconv.OPERATION_NAME: semconv.RETRIEVAL, PATH: path}
            parent = self._attempt.parent_of(path)
            span = self._tracer.start_span(f"{semconv.RETRIEVAL} {name}", context=parent, attributes=attributes)
            with _ended(span), under(span):
                result = await call()
                if "problem" in result:
                    span.set_attribute(semconv.ERROR_TYPE, "knowledge_unavailable")
                    span.set_status(Status(StatusCode.ERROR))
                return result

        is_search = kind is StepKind.RETRIEVE
        return await self._inner.once(
            kind, path, fingerprint, name, traced if is_search else call, is_followed=is_followed
        )

    # The methods below record no span and only call the inner steps.

    def prepared(self, path: str, fingerprint: str, taken: JsonObject) -> JsonObject:
        """Record the values that a run reads."""
        return self._inner.prepared(path, fingerprint, taken)

    async def take_messages(self, path: str, run_id: str) -> Sequence[str]:
        """The messages to a run."""
        return await self._inner.take_messages(path, run_id)

    async def take(self, path: str, fingerprint: str, look: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Read a value from outside the run and record it."""
        return await self._inner.take(path, fingerprint, look)

    def abandoned(self, path: str) -> None:
        """Note that a tool call did not end when it was cancelled."""
        self._inner.abandoned(path)

    def input_changed(self, run_id: str, text: str) -> None:
        """Record a run's new input."""
        self._inner.input_changed(run_id, text)

    def first_token(self, at: float) -> None:
        """Note when the root's model gave its first text."""
        self._inner.first_token(at)

    def _begin_members(self, path: str, span: Span) -> None:
        """Start the spans of the members' runs that the call at ``path`` drives."""
        for place in [place for place in self._pending_members if f"{place}/".startswith(f"{path}/")]:
            member = self._pending_members.pop(place)
            attributes = {
                semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
                semconv.AGENT_ID: member.component_id,
                semconv.AGENT_NAME: member.component_name,
                semconv.PROVIDER_NAME: member.model_provider.lower(),
                semconv.REQUEST_MODEL: member.model,
                RUN_ID: member.run_id,
                KIND: member.component_kind,
                PATH: place,
            }
            if self._captures_content:
                attributes[semconv.INPUT_MESSAGES] = jsontext.dumps([_text_message("user", member.task)])
            name = f"{semconv.INVOKE_AGENT} {member.component_name}"
            parent = trace.set_span_in_context(span)
            self._attempt.member_began(place, self._tracer.start_span(name, context=parent, attributes=attributes))
            self._member_paths[member.run_id] = place

    def _note_result(self, span: Span, result: ToolStep) -> None:
        span.set_attribute(OUTCOME, result.state.value)
        if result.state is not StepState.COMPLETED or result.is_error:
            span.set_attribute(
                semconv.ERROR_TYPE, "tool_failed" if result.state is not StepState.UNKNOWN else "unknown"
            )
            span.set_status(Status(StatusCode.ERROR))
        if self._captures_content:
            span.set_attribute(semconv.TOOL_CALL_RESULT, result.result)


def _note_answer(span: Span, answer: ModelAnswer) -> None:
    usage, response = answer.usage, answer.response
    span.set_attributes(
        {
            semconv.INPUT_TOKENS: usage.input_tokens,
            semconv.OUTPUT_TOKENS: usage.output_tokens,
            semconv.CACHE_READ_TOKENS: usage.cache_read_tokens,
            semconv.CACHE_CREATION_TOKENS: usage.cache_write_tokens,
        }
    )
    model_attributes = {
        semconv.RESPONSE_MODEL: response.model_name,
        semconv.RESPONSE_ID: response.provider_response_id,
    }
    span.set_attributes({name: value for name, value in model_attributes.items() if value})
    if response.finish_reason:
        span.set_attribute(semconv.FINISH_REASONS, [response.finish_reason])


@contextmanager
def _ended(span: Span) -> Iterator[None]:
    """End the span with this block, and record the kind of exception that was raised, never its message."""
    try:
        yield
    except (Waits, HandedOver, LeaseLost) as error:  # not a failure: the step goes on later, here or elsewhere
        span.set_attribute(OUTCOME, "waiting" if isinstance(error, Waits) else "handed_over")
        raise
    except asyncio.CancelledError:
        span.set_attribute(semconv.ERROR_TYPE, "cancelled")
        span.set_status(Status(StatusCode.ERROR, "cancelled"))
        raise
    except BaseException as error:
        code = getattr(error, "code", None) if isinstance(error, MusterdError) else None
        kind = code if isinstance(code, str) else type(error).__name__
        span.set_attribute(semconv.ERROR_TYPE, kind)
        span.set_status(Status(StatusCode.ERROR, kind))
        raise
    finally:
        span.end()


def _text_message(role: str, text: str) -> JsonObject:
    return {"role": role, "parts": [{"type": "text", "content": text}]}
