"""The document, put together."""

from collections.abc import Iterable

from musterd.http.openapi.answers import ERROR_SCHEMAS, HEADERS, errors
from musterd.http.openapi.declared import described as describe_declared
from musterd.http.openapi.described import Answers, Schema
from musterd.http.openapi.recorded import RECORDED
from musterd.http.operation import AUTHENTICATED, OPEN, Operation

_ABOUT = """\
Teams of agents over HTTP, as AgentOS 2.5.6 has it; a run that is accepted is stored and driven to its end.

Start one with `POST /teams/{team_id}/runs` and `background=true`, then poll `GET /teams/{team_id}/runs/{run_id}`. \
A poll may wait for the run's end with `?wait=SECONDS` (up to 60), and ask with `If-None-Match` whether anything \
changed. Every answer carries `X-Request-ID`.
"""


def _refusals(operation: Operation) -> Answers:
    """The answers to callers that lack the scope or exceed a limit."""
    if operation.scope is OPEN:
        return {}
    words = f"The token does not have the scope `{operation.scope}`"
    if operation.method != "GET":
        words += ", or the `Origin` may not write here"
    answers = errors(_403=words, _429="Too many requests, or too many runs wait", _503="The server cannot take it now")
    statuses = ("429", "503") if operation.scope == AUTHENTICATED else ("403", "429", "503")
    return {status: answers[status] for status in statuses}


def document(operations: Iterable[Operation], *, title: str, version: str, root_path: str = "") -> Schema:
    """The OpenAPI document of these operations.

    :param root_path: where the application is mounted in another one, or behind a proxy.
    """
    operations = list(operations)
    declared, schemas = describe_declared(operations)
    by_id = {**declared, **RECORDED}
    paths: dict[str, Schema] = {}
    for operation in operations:
        described = by_id[operation.operation_id].as_openapi(operation.operation_id)
        described["responses"] = dict(sorted({**described["responses"], **_refusals(operation)}.items()))
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    whole: Schema = {"openapi": "3.1.0", "info": {"title": title, "description": _ABOUT, "version": version}}
    if root_path:
        whole["servers"] = [{"url": root_path}]
    whole["paths"] = paths
    whole["components"] = {
        "schemas": {**schemas, **ERROR_SCHEMAS},
        "headers": HEADERS,
        "securitySchemes": {"HTTPBearer": {"type": "http", "scheme": "bearer"}},
    }
    return whole
