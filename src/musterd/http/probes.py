"""The operations for the system that runs the server: liveness, readiness and metrics."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from musterd.core.errors import Unavailable
from musterd.http.auth.scopes import principal_of
from musterd.http.metrics import MetricsOperations
from musterd.http.operation import OPEN, Answer, operation
from musterd.http.readiness import Readiness
from musterd.http.responses import error_answer

Checks = Annotated[
    dict[str, str],
    Field(
        description="The checks by name, each `ok` or the problem: `accepting`, `database`, `schema`, `worker`, "
        "`beats`, `event_loop`, `served`, and `bus` if NATS is used."
    ),
]


class LiveResponse(TypedDict):
    """The process answers."""

    status: Literal["live"]


class ReadyResponse(TypedDict):
    """Every check passes."""

    status: Literal["ready"]
    checks: Checks
    not_served_count: NotRequired[
        Annotated[int, Field(description="Components with ready runs that no process serves, this one included.")]
    ]
    not_served: NotRequired[Annotated[list[str], Field(description="Their names; for administrators only.")]]


class NotReadyResponse(TypedDict):
    """A check fails."""

    detail: str
    error_code: str
    request_id: str
    checks: Checks


@operation("GET", "/-/live", "get_liveness", scope=OPEN, tag="Health", summary="Liveness")
async def get_liveness() -> LiveResponse:
    """Liveness probe: 200 while the process answers."""
    return {"status": "live"}


@operation(
    "GET",
    "/-/ready",
    "get_readiness",
    scope=OPEN,
    tag="Health",
    summary="Readiness",
    other_answers={503: Answer(NotReadyResponse, headers=["Retry-After"])},
)
async def get_readiness(readiness: Readiness, request: Request) -> ReadyResponse | Response:
    """Readiness probe: 200 while every check passes.

    This process accepts runs; the database can be written and has a schema that this version knows; the worker claims
    and its heartbeat advances; the event loop keeps up; NATS, if it is used, can be reached; and no run waits for a
    component that is served here and that no process drives. Names of components are given to administrators only.
    """
    look, is_admin = await readiness.look(), principal_of(request).scopes.is_admin
    problems = look.problems(with_names=is_admin)
    checks = {check.name: problems.get(check.name, "ok") for check in look.checks}
    if problems:
        return error_answer(Unavailable(" ".join(problems.values())), request.state.request_id, {"checks": checks})
    answer: ReadyResponse = {"status": "ready", "checks": checks}
    if look.not_served:
        answer["not_served_count"] = len(look.not_served)
        if is_admin:
            answer["not_served"] = look.not_served
    return answer


@operation(
    "GET",
    "/-/metrics",
    "get_prometheus_metrics",
    scope="system:metrics",
    tag="Health",
    summary="Metrics",
    other_answers={200: Answer(str, media_type="text/plain")},
)
async def get_metrics(metrics: MetricsOperations, request: Request) -> Response:
    """Get the counters of this process, and the number of runs in each state, in Prometheus' text format."""
    return await metrics.get(request)


OPERATIONS = (get_liveness, get_readiness, get_metrics)
