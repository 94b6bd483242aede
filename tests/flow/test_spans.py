"""Spans of runs, as OpenTelemetry's conventions for generative AI have them."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from musterd import Agent, Knowledge, Settings, Step, StepInput, Team, Workflow, tool
from musterd import app as application
from musterd.core import trace_context
from musterd.core.errors import StartError
from musterd.engine import span_export, tracing
from musterd.store import sessions
from tests.flow import test_continue
from tests.flow.test_run_forks import DELEGATING
from tests.support.app import Sample, Serve, app_on, in_process
from tests.support.held_model import HeldModel
from tests.support.http import ServerClient
from tests.support.knowledge import FakeBases

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
INCOMING = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


class Recorded(InMemorySpanExporter):
    """What was recorded, by name."""

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    @property
    def names(self) -> list[str]:
        return sorted(span.name for span in self.get_finished_spans())


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Record spans in memory, for servers with ``otel=True``."""
    exporter, provider = Recorded(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(span_export, "provider_of", lambda settings: provider)
    return exporter


@pytest.fixture
def content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.CONTENT, "true")


def parent(span: ReadableSpan) -> int:
    assert span.parent is not None, span.name
    return int(span.parent.span_id)


def own(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_team_run_is_a_tree_of_spans(serve: Serve, recorded: Recorded) -> None:
    async with serve(otel=True, model="scripted") as client:
        await client.run(DELEGATING, session_id="s1", run_id="r1", headers=INCOMING)
    accepted, run = recorded.one("accept_run Demo Team"), recorded.one("invoke_agent Demo Team")
    tool, member = recorded.one("execute_tool delegate_task_to_member"), recorded.one("invoke_agent Writer Agent")
    assert parent(accepted) == int(PARENT, 16)
    assert parent(run) == own(accepted)
    assert parent(tool) == own(run)
    assert parent(member) == own(tool)
    chats = recorded.named("chat scripted")
    assert sorted(parent(chat) for chat in chats) == sorted([own(run), own(run), own(member)])
    assert {span.context.trace_id for span in recorded.get_finished_spans() if span.context} == {int(TRACE, 16)}
    assert {chat.kind for chat in chats} == {SpanKind.CLIENT}
    run_attributes = attributes(run)
    assert run_attributes["gen_ai.operation.name"] == "invoke_agent"
    assert run_attributes["gen_ai.agent.id"] == "demo-team"
    assert run_attributes["gen_ai.conversation.id"] == "s1"
    assert (run_attributes["musterd.run.id"], run_attributes["musterd.outcome"]) == ("r1", "completed")
    chat_attributes = attributes(chats[0])
    assert chat_attributes["gen_ai.request.model"] == chat_attributes["gen_ai.provider.name"] == "scripted"
    assert chat_attributes["gen_ai.usage.input_tokens"] > 0


async def test_a_member_has_its_span_if_hooks_stand_around_its_delegation(serve: Serve, recorded: Recorded) -> None:
    def keep(function_call: Callable[..., Any]) -> Any:
        return function_call()

    inner = Team(id="inner", name="Inner", members=[Agent(id="writer", name="Writer")], tool_hooks=[keep])
    team = Team(id="team", name="Team", model="scripted", members=[inner], tool_hooks=[keep])
    async with serve(otel=True, served=Sample([team], [])) as client:
        await client.run("[[DELEGATE inner: <DELEGATE writer: hello>]]", to="teams/team")
    outer, nested = sorted(
        recorded.named("execute_tool delegate_task_to_member"), key=lambda span: span.start_time or 0
    )
    inner_span, writer = recorded.one("invoke_agent Inner"), recorded.one("invoke_agent Writer")
    assert parent(outer) == own(recorded.one("invoke_agent Team"))
    assert parent(inner_span) == own(outer)
    assert parent(nested) == own(inner_span)
    assert parent(writer) == own(nested)


async def test_the_steps_of_a_workflow_have_spans(serve: Serve, recorded: Recorded) -> None:
    def shout(step_input: StepInput) -> str:
        return "hello"

    inner = Workflow(id="inner", name="Inner", steps=[Step(name="shout", executor=shout)])
    writer = Agent(id="writer", name="Writer", model="scripted")
    flow = Workflow(id="flow", name="Flow", steps=[Step(name="write", agent=writer), Step(name="nest", workflow=inner)])
    async with serve(otel=True, served=Sample([], [], [flow])) as client:
        await client.run("hello", to="workflows/flow")
    run, step = recorded.one("invoke_agent Flow"), recorded.one("execute_tool write")
    agent, nested = recorded.one("invoke_agent Writer"), recorded.one("invoke_agent Inner")
    assert parent(step) == parent(recorded.one("execute_tool nest")) == own(run)
    assert parent(agent) == own(step)
    assert parent(recorded.one("chat scripted")) == own(agent)
    assert parent(recorded.one("execute_tool shout")) == own(nested)
    assert attributes(nested)["musterd.component.kind"] == "workflow"


async def test_nothing_that_was_said_is_recorded_unasked(serve: Serve, recorded: Recorded) -> None:
    async with serve(otel=True, model="scripted") as client:
        await client.run('[[TOOL get_weather {"city": "Xanadu"}]]')
    assert recorded.named("execute_tool get_weather")
    assert "Xanadu" not in str([span.to_json() for span in recorded.get_finished_spans()])


async def test_what_was_said_is_recorded_where_that_is_asked_for(
    serve: Serve, recorded: Recorded, content: None
) -> None:
    async with serve(otel=True, model="scripted") as client:
        await client.run('[[TOOL get_weather {"city": "Xanadu"}]]')
    assert attributes(recorded.one("execute_tool get_weather"))["gen_ai.tool.call.result"] == "Sunny in Xanadu"
    last = recorded.named("chat scripted")[-1]
    said, answered = (json.loads(attributes(last)[f"gen_ai.{way}.messages"]) for way in ("input", "output"))
    assert [message["role"] for message in said][-3:] == ["user", "assistant", "user"]
    assert said[-1]["parts"][0] | {"id": ""} == {
        "type": "tool_call_response",
        "id": "",
        "name": "get_weather",
        "result": "Sunny in Xanadu",
    }
    assert "Sunny" in answered[0]["parts"][0]["content"]


async def test_what_fails_is_told_by_its_kind(serve: Serve, recorded: Recorded) -> None:
    async with serve(otel=True, model="scripted") as client:
        await client.run('[[TOOL boom {"x": "secret"}]]')
        await client.post("[[ERROR 400]]", stream="false")
    tool = recorded.one("execute_tool boom")
    assert tool.status.status_code is StatusCode.ERROR
    failed = [span for span in recorded.named("invoke_agent Demo Team") if span.status.status_code is StatusCode.ERROR]
    assert [attributes(span)["error.type"] for span in failed] == ["model_error"]
    assert "secret" not in str([span.to_json() for span in recorded.get_finished_spans()])


async def test_an_attempt_on_another_process_goes_on_in_the_same_trace(database: Path, recorded: Recorded) -> None:
    model = HeldModel()
    async with in_process(app_on(database, model=model, otel=True), model) as client:
        hold = model.hold("wait")
        begun = await client.begin("wait", session_id="s1")
        await hold.reached.wait()
    hold.release()
    async with in_process(app_on(database, model=model, otel=True), model) as client:
        await client.ended(begun)
    first, second = recorded.named("invoke_agent Demo Team")
    assert (attributes(first)["musterd.run.attempt"], attributes(second)["musterd.run.attempt"]) == (1, 2)
    assert [attributes(span)["musterd.outcome"] for span in (first, second)] == ["cut_off", "completed"]
    assert parent(first) == parent(second) == own(recorded.one("accept_run Demo Team"))
    assert len(recorded.named("accept_run Demo Team")) == 1


async def test_waiting_for_a_person_is_no_failure(serve: Serve, recorded: Recorded) -> None:
    @tool(requires_confirmation=True)
    def send(text: str) -> str:
        """Send a text."""
        return f"sent {text}"

    asker = Agent(id="asker", name="Asker", tools=[send])
    desk = Team(id="desk", name="Desk", model="scripted", members=[asker])
    async with serve(otel=True, served=Sample([desk], [])) as client:
        paused = await client.run('[[DELEGATE asker: <TOOL send {"text": "x"}>]]', "teams/desk", session_id="s1")
        assert paused["status"] == "PAUSED"
        answer = await test_continue.send(
            client, "teams/desk", paused["run_id"], requirements=test_continue.decided(paused, confirmation=True)
        )
        assert answer.json()["status"] == "COMPLETED", answer.text
    assert {span.status.status_code for span in recorded.get_finished_spans()} == {StatusCode.UNSET}
    outcomes = [attributes(span)["musterd.outcome"] for span in recorded.named("invoke_agent Desk")]
    assert outcomes == ["paused", "completed"]
    delegated = [attributes(span)["musterd.outcome"] for span in recorded.named("execute_tool delegate_task_to_member")]
    assert delegated == ["waiting", "completed"]
    assert len(recorded.named("execute_tool send")) == 1, "it was made once"


async def test_a_refused_run_leaves_no_span(serve: Serve, recorded: Recorded) -> None:
    async with serve(otel=True) as client:
        await client.post("hello", run_id="r1", stream="false")
        recorded.clear()
        assert (await client.post("other", run_id="r1", stream="false")).status_code == 409
    assert recorded.names == []


async def test_a_failing_exporter_disturbs_nobody(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            raise RuntimeError("the collector is gone")

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Failing()))
    monkeypatch.setattr(span_export, "provider_of", lambda settings: provider)
    async with serve(otel=True) as client:
        assert (await client.run("hello"))["status"] == "COMPLETED"


async def test_the_trace_is_stored_where_nobody_records_spans(client: ServerClient) -> None:
    await client.run("hello", run_id="r1", session_id="s1", headers=INCOMING)
    row = await client.server.database.read(lambda tx: sessions.run(tx, "s1", "r1"))
    assert row is not None
    assert row.row.traceparent == INCOMING["traceparent"]


async def test_tools_see_the_span_and_requests_carry_it(serve: Serve, recorded: Recorded) -> None:
    seen: list[str | None] = []

    class Watching(HeldModel):
        """Notes what a request of this model would carry."""

    model = Watching()
    original = model.request_stream

    def noted(*args: Any, **named: Any) -> Any:
        seen.append(trace_context.outgoing.get())
        return original(*args, **named)

    model.request_stream = noted  # type: ignore[method-assign]
    async with serve(otel=True, model=model) as client:
        await client.run("hello", headers=INCOMING)
    (chat,) = [span for span in recorded.get_finished_spans() if span.name.startswith("chat ")]
    assert seen == [f"00-{TRACE}-{own(chat):016x}-01"]


@pytest.mark.parametrize(
    "environment, otel, is_recording",
    [
        ({}, None, False),
        ({}, True, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, None, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, None, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, None, False),
        ({"OTEL_SDK_DISABLED": "true"}, True, False),
    ],
)
def test_when_spans_are_recorded(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], otel: bool | None, is_recording: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.is_enabled(Settings(otel=otel)) is is_recording


def test_spans_are_sent_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        spans = tracing.spans_of(Settings(os_id="desk-os"))
        assert spans is not None
        spans.tracer.start_span("a-span").end()
        spans.flush()
        server.shutdown()
        thread.join()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"desk-os" in body
    assert b"a-span" in body


@pytest.mark.parametrize(
    "sampler, flag, is_sent",
    [
        ("", "01", True),
        ("", "00", True),
        ("parentbased_always_on", "01", True),
        ("parentbased_always_on", "00", False),
        ("always_off", "01", False),
    ],
)
async def test_what_is_recorded_is_for_the_operator_to_say(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, sampler: str, flag: str, is_sent: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    exporter, provider_of = Recorded(), span_export.provider_of

    def recording(settings: Settings) -> TracerProvider:
        provider = provider_of(settings)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return provider

    monkeypatch.setattr(span_export, "provider_of", recording)
    async with serve(otel=True) as client:
        run = await client.run("hello", headers={"traceparent": f"00-{TRACE}-{PARENT}-{flag}"})
        row = await client.server.database.read(lambda tx: sessions.run(tx, run["session_id"], run["run_id"]))
    assert bool(exporter.named("accept_run Demo Team")) == bool(exporter.named("invoke_agent Demo Team")) == is_sent
    assert row is not None
    assert str(row.row.traceparent).startswith(f"00-{TRACE}-")
    assert str(row.row.traceparent).endswith("-01" if is_sent else "-00"), "as it is told to who is called"


def test_an_unknown_exporter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    with pytest.raises(StartError, match="jaeger"):
        tracing.spans_of(Settings(otel=True))


def test_it_is_not_imported_unasked() -> None:
    probe = (
        "import sys; from musterd import Agent, Team, create_app;"
        "create_app(agents=[Agent(id='a', model='scripted')]);"
        "print([name for name in sys.modules if name in ('opentelemetry.sdk', 'prometheus_client')])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "header, taken",
    [
        (INCOMING["traceparent"], INCOMING["traceparent"]),
        (f"cc-{TRACE}-{PARENT}-03-what-comes-later", f"00-{TRACE}-{PARENT}-01"),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"00-{TRACE}-{PARENT}-01-more", None),
        (f"ff-{TRACE}-{PARENT}-01", None),
        (f"00-{'0' * 32}-{PARENT}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (INCOMING["traceparent"].upper(), None),
        ("", None),
    ],
)
def test_what_counts_as_a_traceparent(header: str, taken: str | None) -> None:
    assert trace_context.parse_traceparent(header) == taken


async def test_a_search_before_the_first_turn_has_a_span(
    serve: Serve, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases = FakeBases()
    monkeypatch.setattr(application, "FEATURES", [bases.feature(), *application.FEATURES])
    base = Knowledge(id="docs")
    agent = Agent(id="helper", name="Helper", model="scripted", knowledge=base, add_knowledge_to_context=True)
    async with serve(otel=True, served=Sample([], [agent])) as client:
        await client.run("capital", to="agents/helper")
        bases.problem = "away"
        await client.run("capital", to="agents/helper")
    retrieval, failed = recorded.named("retrieval docs")
    assert parent(retrieval) == own(recorded.named("invoke_agent Helper")[0])
    assert attributes(retrieval)["gen_ai.operation.name"] == "retrieval"
    assert [span.status.status_code for span in (retrieval, failed)] == [StatusCode.UNSET, StatusCode.ERROR]
