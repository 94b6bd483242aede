"""The spans of a trace, built from the stored runs of a tree and the steps of its journal.

The parent of a step is its run, and the parent of a member's run is the delegation that began it. Steps that a run took
over from another run belong to that run's trace. The journal does not hold the input of a model call. It is in the
conversation of a finished run, before the answer with the same time.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from musterd.core import jsontext, semconv
from musterd.core.records import ComponentKind, RunView, StepKind, StepRow, StepState
from musterd.core.trace_ids import run_span_id, step_span_id
from musterd.features.traces.records import STATUS_OF, Span, SpanKind, SpanStatus
from musterd.features.traces.workflow_spans import container_spans, describe_step, nodes_of
from musterd.wire.messages import text_of
from musterd.wire.shapes import without_nulls

_CALL = re.compile(r"(?P<turn>(?:.*/)?[^/]+)/c(?P<number>\d+)(?:/\d+)?")
_HOOK = re.compile(r"(?:.*/)?(?P<when>pre|post)(?P<number>\d+)")
_ROLES = {"system-prompt": "system", "tool-return": "tool"}
_KINDS: dict[ComponentKind, SpanKind] = {
    "team": SpanKind.TEAM,
    "agent": SpanKind.AGENT,
    "workflow": SpanKind.WORKFLOW,
}
_OF_WORKFLOWS = frozenset({StepKind.FUNCTION, StepKind.CHOICE, StepKind.ASK, StepKind.DELEGATE})
_STATUSES = {StepState.FAILED: SpanStatus.ERROR, StepState.COMPLETED: SpanStatus.OK}


def root_span(runs: Sequence[RunView], steps: Sequence[StepRow]) -> Span:
    """The span of the root, which holds all others.

    :param runs: the root and its members.
    :param steps: the journal of the tree.
    """
    calls, by_run = _tool_calls(steps), {view.row.path: _run_span(view) for view in runs}
    inputs = {at: text for view in runs for at, text in _model_inputs(view)}
    by_step = {
        step.path: _step_span(step, calls, inputs, by_run)
        for step in steps
        if step.kind is not StepKind.PREPARE and step.attempt > 0
    }
    nodes = nodes_of(runs, steps)
    for step in steps:
        if step.path in by_step and step.kind in _OF_WORKFLOWS:
            describe_step(by_step[step.path], step, nodes)
    by_step = {**container_spans(by_run[""].metadata["run_id"], nodes, steps), **by_step}
    for path, span in by_step.items():
        _parent(path, by_run, by_step, is_run=False).children.append(span)
    for path, span in by_run.items():
        if path:
            _parent(path, by_run, by_step, is_run=True).children.append(span)
    for span in by_run[""].flat():
        span.children.sort(key=lambda child: child.started_at)
    return by_run[""]


def _parent(path: str, by_run: dict[str, Span], by_step: dict[str, Span], *, is_run: bool) -> Span:
    """The nearest span above a path; a run stands below the step of its own path."""
    if is_run and path in by_step:
        return by_step[path]
    while path:
        path = path.rpartition("/")[0]
        if (span := by_run.get(path) or by_step.get(path)) is not None:
            return span
    return by_run[""]


def _run_span(view: RunView) -> Span:
    run, output = view.row, view.output
    usage = None if output is None else output.usage
    error = output.error if output is not None else None
    attributes = {
        semconv.OPERATION_NAME: semconv.INVOKE_AGENT,
        semconv.AGENT_ID: run.component_id,
        semconv.AGENT_NAME: run.component_name,
        semconv.CONVERSATION_ID: run.session_id,
        semconv.REQUEST_MODEL: run.model,
        semconv.PROVIDER_NAME: run.model_provider,
        semconv.USER_ID: run.user_id,
        semconv.ERROR_TYPE: run.error_code,
        semconv.INPUT_TOKENS: None if usage is None else usage.input_tokens,
        semconv.OUTPUT_TOKENS: None if usage is None else usage.output_tokens,
    }
    metadata = {"run_id": run.run_id, "session_id": run.session_id, "user_id": run.user_id}
    status = STATUS_OF.get(run.state, SpanStatus.UNSET)
    return Span(
        span_id=run_span_id(run.root_id, run.path),
        name=f"{semconv.INVOKE_AGENT} {run.component_name}",
        kind=_KINDS[run.component_kind],
        started_at=run.started_at or run.created_at,
        ended_at=run.ended_at,
        status=status,
        input=view.input.message,
        output=None if output is None or status is SpanStatus.ERROR else _text(output.content),
        error=str(error["message"]) if error else None,
        attributes=without_nulls(attributes),
        metadata=without_nulls(metadata),
    )


def _step_span(
    step: StepRow, calls: dict[str, dict[str, Any]], inputs: dict[str, str], by_run: dict[str, Span]
) -> Span:
    span = Span(
        span_id=step_span_id(step.root_id, step.path),
        name=step.path,
        kind=SpanKind.TOOL,
        started_at=step.started_at,
        ended_at=step.ended_at,
        status=_STATUSES.get(step.state, SpanStatus.UNSET),
    )
    result = json.loads(step.result) if step.result else {}
    if step.kind is StepKind.MODEL:
        _describe_model(span, step, result, by_run)
        span.input = inputs.get(result.get("timestamp", ""))
    elif step.kind is StepKind.LOAD:
        span.kind, span.name = SpanKind.LLM, f"load {step.name}"
    elif step.kind is StepKind.HOOK:
        _describe_hook(span, step, result)
    elif step.kind is StepKind.RETRIEVE:
        _describe_search(span, step, result)
    else:
        _describe_call(span, step, result, calls.get(step.path, {}))
    return span


def _describe_model(span: Span, step: StepRow, answer: dict[str, Any], by_run: dict[str, Span]) -> None:
    run = _parent(step.path, by_run, {}, is_run=False)
    model = answer.get("model_name") or step.name or run.attributes[semconv.REQUEST_MODEL]
    usage = step.usage
    span.kind, span.name = SpanKind.LLM, f"{semconv.CHAT} {model}"
    counts: dict[str, Any] = {}
    if usage is not None:
        counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        span.attributes |= {semconv.INPUT_TOKENS: usage.input_tokens, semconv.OUTPUT_TOKENS: usage.output_tokens}
        span.attributes |= {semconv.CACHE_READ_TOKENS: usage.cache_read_tokens} if usage.cache_read_tokens else {}
        span.attributes |= {semconv.CACHE_CREATION_TOKENS: usage.cache_write_tokens} if usage.cache_write_tokens else {}
    span.metadata = {"model": model, **counts}
    span.attributes |= {
        semconv.OPERATION_NAME: semconv.CHAT,
        semconv.RESPONSE_MODEL: model,
        semconv.PROVIDER_NAME: run.attributes[semconv.PROVIDER_NAME],
    }
    if step.error is not None:
        span.error = json.loads(step.error)["message"]
    text = "".join(part["content"] for part in answer.get("parts", ()) if part["part_kind"] == "text")
    tool_calls = [{"name": part["tool_name"], "arguments": part["args"]} for part in _calls_of(answer)]
    span.output = text or (jsontext.dumps(tool_calls) if tool_calls else None)


def _describe_call(span: Span, step: StepRow, result: dict[str, Any], call: dict[str, Any]) -> None:
    name = call.get("tool_name") or step.name or step.path.rpartition("/")[2]
    arguments = _text(call.get("args"))
    span.name, span.input = f"{semconv.EXECUTE_TOOL} {name}", arguments
    span.metadata = without_nulls({"tool_name": name, "parameters": arguments})
    span.attributes = without_nulls(
        {
            semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
            semconv.TOOL_NAME: name,
            semconv.TOOL_CALL_ID: call.get("tool_call_id"),
            semconv.TOOL_TYPE: "function",
        }
    )
    if result.get("is_error"):
        span.status, span.error = SpanStatus.ERROR, result.get("result")
    else:
        span.output = result.get("result")


def _describe_hook(span: Span, step: StepRow, result: dict[str, Any]) -> None:
    match = _HOOK.fullmatch(step.path)
    span.kind = SpanKind.HOOK
    span.name = f"{match['when']}_hook {match['number']}" if match else step.path
    span.output = _text(result.get("input") or result.get("content"))


def _describe_search(span: Span, step: StepRow, result: dict[str, Any]) -> None:
    references = result.get("references") or {}
    span.kind, span.name = SpanKind.RETRIEVER, f"{semconv.RETRIEVAL} {step.name}"
    span.attributes = {semconv.OPERATION_NAME: semconv.RETRIEVAL}
    span.input, span.output = references.get("query"), _text(references.get("references"))
    if "problem" in result:
        span.status, span.error = SpanStatus.ERROR, result["problem"]


def _model_inputs(view: RunView) -> Iterator[tuple[str, str]]:
    """The input of each model answer in a run's conversation: the messages since the answer before, by its time."""
    messages: list[dict[str, Any]] = []
    for message in view.messages or ():
        if message["kind"] == "response":
            yield str(message.get("timestamp")), jsontext.dumps(messages)
            messages = []
            continue
        messages += [{"role": "system", "content": message["instructions"]}] if message.get("instructions") else []
        messages += [
            {"role": _ROLES.get(part["part_kind"], "user"), "content": text_of(part.get("content"))}
            for part in message["parts"]
        ]


def _tool_calls(steps: Sequence[StepRow]) -> dict[str, dict[str, Any]]:
    """The tool calls that models requested, by the path of the step that makes each."""
    by_path: dict[str, dict[str, Any]] = {}
    by_turn = {
        step.path.removesuffix("/m"): _calls_of(json.loads(step.result))
        for step in steps
        if step.kind is StepKind.MODEL and step.result
    }
    for step in steps:
        place = _CALL.fullmatch(step.path)
        calls = by_turn.get(place["turn"], []) if place else []
        if place and int(place["number"]) < len(calls):
            by_path[step.path] = calls[int(place["number"])]
    return by_path


def _calls_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in answer.get("parts", ()) if part["part_kind"] == "tool-call"]


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else jsontext.dumps(value)
