"""Each call of the client is an operation of the server, and is described in the reference."""

import dataclasses
import functools
import inspect
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest

from musterd import Client, client, create_app
from musterd.client import ClientError, Requirement
from musterd.client.flows import call, stream_call
from musterd.http.operation import Operation
from musterd.http.routes import operations
from tests.support.app import sample, settings_for

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "client.md"
REQUIREMENT = Requirement.of("requirements", {"id": "q1", "kind": "confirmation"})

CALLS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "start": ("create_team_run", ("desk", "hello")),
    "run": ("create_team_run", ("desk", "hello")),
    "wait": ("get_run", ("r1",)),
    "stream": ("list_run_events", ("r1",)),
    "cancel": ("cancel_run", ("r1",)),
    "decide": ("continue_run", ("r1", REQUIREMENT.approve())),
    "continue_": ("continue_run", ("r1",)),
    "fork": ("continue_run", ("r1", "t0")),
    "rerun": ("rerun_run", ("r1",)),
    "steer": ("send_run_message", ("r1", "hello")),
    "request": ("get_me", ("GET", "/me")),
    "teams.list": ("get_teams", ()),
    "teams.get": ("get_team", ("desk",)),
    "agents.list": ("get_agents", ()),
    "agents.get": ("get_agent", ("clerk",)),
    "workflows.list": ("get_workflows", ()),
    "workflows.get": ("get_workflow", ("flow",)),
    "runs.list": ("list_runs", ()),
    "runs.all": ("list_runs", ()),
    "runs.counts": ("count_runs", ()),
    "runs.get": ("get_run", ("r1",)),
    "runs.summary": ("get_run", ("r1",)),
    "runs.export": ("export_run", ("r1",)),
    "runs.steps": ("list_run_steps", ("r1",)),
    "runs.step": ("list_run_steps", ("r1", "t0")),
    "runs.events": ("list_run_events", ("r1",)),
    "runs.messages": ("list_run_messages", ("r1",)),
    "runs.download": ("get_run_media", ("r1", "m1")),
    "sessions.list": ("get_sessions", ()),
    "sessions.all": ("get_sessions", ()),
    "sessions.create": ("create_session", ()),
    "sessions.update": ("update_session", ("s1",)),
    "sessions.fork": ("get_session_by_id", ("s1",)),
    "sessions.get": ("get_session_by_id", ("s1",)),
    "sessions.runs": ("list_runs", ("s1",)),
    "sessions.rename": ("rename_session", ("s1", "Weather")),
    "sessions.delete": ("delete_session", ("s1",)),
    "approvals.list": ("list_approvals_approvals_get", ()),
    "approvals.all": ("list_approvals_approvals_get", ()),
    "approvals.get": ("get_approval_approvals__approval_id__get", ("a1",)),
    "approvals.approve": ("resolve_approval_approvals__approval_id__resolve_post", ("a1",)),
    "approvals.reject": ("resolve_approval_approvals__approval_id__resolve_post", ("a1",)),
    "traces.list": ("get_traces", ()),
    "traces.all": ("get_traces", ()),
    "traces.get": ("get_trace", ("t1",)),
    "memories.list": ("get_memories", ()),
    "memories.all": ("get_memories", ()),
    "memories.get": ("get_memory", ("m1",)),
    "memories.create": ("create_memory", ("Likes tea",)),
    "memories.update": ("update_memory", ("m1", "Likes tea")),
    "memories.delete": ("delete_memories", ("m1",)),
    "memories.delete_all": ("delete_user_memories", ("ana",)),
    "knowledge.upload": ("upload_content", ()),
    "knowledge.wait": ("get_content_by_id", ("c1",)),
    "knowledge.list": ("get_content", ()),
    "knowledge.all": ("get_content", ()),
    "knowledge.get": ("get_content_by_id", ("c1",)),
    "knowledge.refresh": ("refresh_content", ("c1",)),
    "knowledge.delete": ("delete_content_by_id", ("c1",)),
    "knowledge.search": ("search_knowledge", ("tea",)),
    "schedules.list": ("list_schedules_schedules_get", ()),
    "schedules.all": ("list_schedules_schedules_get", ()),
    "schedules.get": ("get_schedule_schedules__schedule_id__get", ("c1",)),
    "schedules.create": ("create_schedule_schedules_post", ("daily", "desk", "hello")),
    "schedules.update": ("update_schedule_schedules__schedule_id__patch", ("c1",)),
    "schedules.enable": ("enable_schedule_schedules__schedule_id__enable_post", ("c1",)),
    "schedules.disable": ("disable_schedule_schedules__schedule_id__disable_post", ("c1",)),
    "schedules.trigger": ("trigger_schedule_schedules__schedule_id__trigger_post", ("c1",)),
    "schedules.firings": ("list_schedule_runs_schedules__schedule_id__runs_get", ("c1",)),
    "schedules.delete": ("delete_schedule_schedules__schedule_id__delete", ("c1",)),
}
"""Each call, with the operation that it asks first and arguments to call it with."""

BY_RUN_ID = re.compile(r"(list|get|cancel|continue|resume|send)_(agent|team|workflow)_run\w*")
"""Operations under the path of a component, which the client calls by the id of the run alone."""

ALSO_CALLED = {"create_agent_run", "create_workflow_run", "fork_agent_session", "fork_team_session"}
ALSO_CALLED |= {"fork_workflow_session"}
"""What a call asks depending on its arguments, or after its first request."""

LEFT_OUT = {
    # what the page and commands need, and operators
    *("get_api_info", "health_check", "get_info", "get_config", "get_models", "get_status"),
    *("get_liveness", "get_readiness", "get_prometheus_metrics", "follow_runs", "follow_session"),
    *("get_metrics", "refresh_metrics", "get_metrics_refresh_status"),
    *("migrate_all_databases", "migrate_database"),
    *("list_webhook_deliveries", "get_webhook_delivery", "redeliver_webhook"),
    *("list_service_accounts_service_accounts_get", "create_service_account_service_accounts_post"),
    "revoke_service_account_service_accounts__service_account_id__delete",
    # what another call does
    *("resume_run_stream", "list_run_checkpoints", "get_run_checkpoint_snapshot", "delete_sessions"),
    *("get_session_runs", "get_session_run", "get_session_run_previews", "list_active_session_runs"),
    *("get_approval_count_approvals_count_get", "get_approval_status_approvals__approval_id__status_get"),
    *("delete_memory", "get_content_status", "get_schedule_run_schedules__schedule_id__runs__run_id__get"),
    # what programs rarely need
    *("delete_approval_approvals__approval_id__delete", "get_memory_topics", "get_user_memory_stats"),
    *("optimize_memories", "search_traces", "get_traces_filter_schema", "get_trace_stats"),
    *("list_schedule_instants", "backfill_schedule", "update_content", "delete_all_content"),
    *("get_knowledge_config", "upload_remote_content", "list_content_sources", "list_source_files"),
}
"""Operations without a call of their own; ``Client.request`` reaches them."""


class FirstRequest(Exception):
    """The first request of a call."""

    def __init__(self, request: httpx2.Request) -> None:
        super().__init__()
        self.request = request


def raise_request(request: httpx2.Request) -> httpx2.Response:
    raise FirstRequest(request)


@pytest.fixture
def no_server() -> Client:
    """A client whose requests are raised."""
    return Client(http=httpx2.Client(base_url="http://host", transport=httpx2.MockTransport(raise_request)))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operation]:
    """The operations of a server, by id."""
    app = create_app(teams=sample().teams, settings=settings_for(tmp_path_factory.mktemp("server") / "musterd.db"))
    return {operation.operation_id: operation for operation in operations(app.state.server)}


def method_of(client: Client, name: str) -> Any:
    """A call by its name, such as ``runs.get``."""
    return functools.reduce(getattr, name.split("."), client)


def calls_of(part: Any, prefix: str = "") -> set[str]:
    """The calls of a client, and of its parts."""
    attributes = {name: value for kind in type(part).__mro__ for name, value in vars(kind).items()}
    own = {f"{prefix}{name}" for name, value in attributes.items() if isinstance(value, call | stream_call)}
    parts = {name: value for name, value in vars(part).items() if not name.startswith("_")}
    return own.union(*(calls_of(value, f"{prefix}{name}.") for name, value in parts.items()))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_asks_an_operation_of_the_server(name: str, no_server: Client, served: dict[str, Operation]) -> None:
    operation_id, arguments = CALLS[name]
    with pytest.raises(FirstRequest) as caught:
        next(iter(method_of(no_server, name)(*arguments)))
    operation, request = served[operation_id], caught.value.request
    assert operation.method == request.method
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", operation.path), request.url.path)


def test_the_arguments_of_a_workflow_are_fields_of_the_request(no_server: Client) -> None:
    with pytest.raises(FirstRequest) as caught:
        no_server.start("flow", "hello", kind="workflow", arguments={"a": 1})
    body = json.loads(caught.value.request.content)
    assert body == {"message": "hello", "a": 1, "background": True, "stream": False}


def test_an_operation_has_a_call_or_is_left_out_on_purpose(served: dict[str, Operation]) -> None:
    called = {operation_id for operation_id, _ in CALLS.values()} | ALSO_CALLED
    others = {operation_id for operation_id in served if not BY_RUN_ID.fullmatch(operation_id)}
    assert others - called == LEFT_OUT


def test_every_call_is_known_here_and_in_the_reference(no_server: Client) -> None:
    calls = calls_of(no_server)
    assert calls == set(CALLS)
    rows = re.findall(r"^\| `([\w.]+)\((.*)\)` \|", PAGE.read_text(), flags=re.MULTILINE)
    described = {name: re.findall(r"(\w+)(?:=[^,]*)?(?:, |$)", parameters) for name, parameters in rows}
    assert described == {name: [*inspect.signature(method_of(no_server, name)).parameters] for name in calls}


def test_the_fields_of_results_are_in_the_reference() -> None:
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (.*) \|$", PAGE.read_text().split("## Errors")[0], flags=re.MULTILINE)
    assert rows
    for name, text in rows:
        kind = vars(client)[name]
        properties = {attribute for attribute, value in vars(kind).items() if isinstance(value, property)}
        fields = {field.name for field in dataclasses.fields(kind)} | properties
        assert set(re.findall(r"`([a-z_]+)`", text)) == fields - {"raw"}, name
        assert all(hasattr(kind, method) for method in re.findall(r"`(\w+)\(\)`", text)), name


def test_every_name_is_in_the_reference() -> None:
    text = PAGE.read_text()
    assert {name for name in client.__all__ if not re.search(rf"`(musterd\.)?{name}`", text)} == set()
    tree = re.search(r"```\n(ClientError\n.*?)```", text, flags=re.DOTALL)
    assert tree
    errors = {
        name for name in client.__all__ if inspect.isclass(kind := vars(client)[name]) and issubclass(kind, ClientError)
    }
    assert set(re.findall(r"[A-Z]\w+", tree[1])) == errors
