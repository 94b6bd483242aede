"""Generated requests against the served document: no 5xx, and no answer that the document does not describe.

The run is bounded and the same every time. Ids and messages are often those of the sample, so that requests reach
what lies behind the first check.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis import HookContext
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from tests.support.app import app_on

EXAMPLES = int(os.environ.get("MUSTERD_TEST_EXAMPLES", "10"))
"""Requests that are made up for each operation, beside those at the edges of what each field may hold."""

MAX_DELAY_SECONDS = 0.1
KEY = "secret"
SHOWN = {"Authorization": f"Bearer {KEY}"}

DELEGATION = "[[DELEGATE writer-agent: hello]]"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
KNOWN = {
    "path.team_id": ["demo-team", "full-team", "person-team", "state-team"],
    "path.agent_id": ["weather-agent", "solo-agent"],
    "path.run_id": ["run-1", "run-2"],
    "path.session_id": ["session-1", "session-2"],
    "query.session_id": ["session-1", "session-2"],
    "body.session_id": ["session-1", "session-2"],
    "body.run_id": ["run-1", "run-2"],
    "body.team_id": ["demo-team"],
    "body.agent_id": ["solo-agent"],
    "body.message": [
        "hello",
        DELEGATION,
        '[[TOOL boom {"x": "1"}]]',
        '[[TOOL remember {"key": "k", "value": "v"}]]',
        "[[ERROR 400]]",
    ],
}


@schemathesis.hook
def map_body(context: HookContext, body: Any) -> Any:
    """Let no run be delayed for longer than a request waits for it: the document allows a year."""
    delay = body.get("delay_seconds") if isinstance(body, dict) else None
    if isinstance(delay, int | float) and not isinstance(delay, bool) and delay > MAX_DELAY_SECONDS:
        return {**body, "delay_seconds": MAX_DELAY_SECONDS}
    return body


def configuration() -> SchemathesisConfig:
    """How requests are made: from one seed, and mostly with ids that exist."""
    return SchemathesisConfig.from_dict(
        {
            "seed": int(os.environ.get("MUSTERD_TEST_SEED", "1")),
            "headers": SHOWN,
            "continue-on-failure": True,
            "request-timeout": 120,
            "generation": {"mode": "all", "max-examples": EXAMPLES, "deterministic": True, "no-shrink": True},
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "phases": {"stateful": {"enabled": False}},
            "dictionaries": {name.replace(".", "-"): {"values": values} for name, values in KNOWN.items()},
            "parameters": {name: {"dictionary": name.replace(".", "-"), "probability": 0.7} for name in KNOWN},
        }
    )


def served(database: Path, **changes: Any) -> Any:
    """The document of a server with small limits, and that server behind it."""
    limits: dict[str, Any] = {
        "body_bytes": 64 * 1024,
        "field_bytes": 8 * 1024,
        "wait_max_seconds": 0.2,
        "cancel_wait_seconds": 0.2,
        "auth_failures_per_minute": 0,
    }
    app = app_on(database, allowed_hosts="testserver", security_key=KEY, **limits, **changes)
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=configuration())


@pytest.fixture
def api(database: Path) -> Any:
    """A server that has runs already: of a team with a member's, of an agent, and one that failed."""
    schema = served(database)
    start(schema, "team", "demo-team", message=DELEGATION, session_id="session-1", run_id="run-1", stream=False)
    start(schema, "team", "demo-team", message="hello", session_id="session-1", background=True, status=202)
    start(schema, "agent", "solo-agent", message="hello", session_id="session-2", run_id="run-2", stream=False)
    start(schema, "agent", "solo-agent", message="[[ERROR 400]]", session_id="session-2", stream=True)
    return schema


def start(schema: Any, kind: str, component_id: str, *, status: int = 200, **body: Any) -> None:
    """Start a run, and hold the answer against the document."""
    operation = schema[f"/{kind}s/{{{kind}_id}}/runs"]["POST"]
    path = {f"{kind}_id": component_id}
    case = operation.Case(path_parameters=path, body=body, media_type="application/json", headers=SHOWN)
    assert case.call_and_validate().status_code == status


def problems(event: events.EngineEvent) -> Iterator[str]:
    """What an event of the run tells that is wrong."""
    if isinstance(event, events.ScenarioFinished):
        yield from failures(event.recorder)
    elif isinstance(event, events.NonFatalError):
        yield f"{event.label}: {event.value!r}"
    elif isinstance(event, events.FatalError):
        yield repr(event.exception)


def failures(recorder: ScenarioRecorder) -> Iterator[str]:
    """The failed checks of one operation, each with the request that led to it."""
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                interaction = recorder.interactions[case_id]
                answer = interaction.response
                body = answer.content[:500] if answer is not None else b""
                yield f"{recorder.label}: {check.failure_info.failure}\n{check.failure_info.code_sample}\n{body!r}"


def answers(recorder: ScenarioRecorder) -> Iterator[int]:
    """The statuses that were answered."""
    for interaction in recorder.interactions.values():
        if interaction.response is not None:
            yield interaction.response.status_code


def visit(schema: Any) -> set[int]:
    """Send the requests and hold the answers against the document; the statuses that were seen."""
    wrong: dict[str, str] = {}
    seen: set[int] = set()
    for event in from_schema(schema).execute():
        wrong |= {problem.partition("curl")[0]: problem for problem in problems(event)}
        if isinstance(event, events.ScenarioFinished):
            seen.update(answers(event.recorder))
    assert not wrong, "\n\n".join(wrong.values())
    return seen


def test_teams(api: Any) -> None:
    assert visit(api.include(tag="Teams")) >= {200, 404, 409, 422}


def test_agents(api: Any) -> None:
    assert visit(api.include(tag="Agents")) >= {200, 404, 409, 422}


# In parts, because each test has a limit of time, and the parts run at the same time.
FEATURES = [
    ["Workflows"],
    ["Sessions", "Traces"],
    ["Runs", "Approvals"],
    ["Knowledge", "Memory"],
    ["Schedules", "Webhooks"],
]


@pytest.mark.parametrize("tags", FEATURES, ids=" ".join)
def test_a_feature(api: Any, tags: list[str]) -> None:
    assert visit(lasting(api).include(tag=tags)) >= {200, 404, 422}


def test_the_other_operations(api: Any) -> None:
    tags = ["Teams", "Agents", *itertools.chain.from_iterable(FEATURES)]
    assert visit(lasting(api).exclude(tag=tags)) >= {200, 422}


def lasting(schema: Any) -> Any:
    """Without what is deleted, and without two streams that stay open as long as their readers."""
    return schema.exclude(operation_id=["follow_session", "follow_runs"]).exclude(method="DELETE")


def test_what_is_deleted(api: Any) -> None:
    assert visit(api.include(method="DELETE")) >= {204, 422}


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {KEY}"])
def test_without_the_key(database: Path, authorization: str) -> None:
    """Every operation that is not open, whether or not what it is asked for exists."""
    seen = set()
    for endpoint in served(database).get_all_operations():
        operation = endpoint.ok()
        path = {parameter.name: "x" for parameter in operation.path_parameters}
        case = operation.Case(path_parameters=path, headers={"Authorization": authorization})
        status = case.call_and_validate().status_code
        assert status == (401 if operation.definition.raw.get("security") else 200), operation.label
        seen.add(status)
    assert seen == {200, 401}
