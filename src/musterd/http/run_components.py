"""Requests that name a run alone: the run's component is looked up, and the scope of the component is enough."""

from starlette.requests import Request
from starlette.responses import Response

from musterd.core.errors import Conflict, Forbidden
from musterd.core.records import ComponentKind
from musterd.declare import Agent, BaseComponent, Team, Workflow
from musterd.declare.component import build
from musterd.declare.workflow.resolved import build_workflow
from musterd.http.auth.scopes import Handler, caller_of, principal_of
from musterd.http.paths import path_identifier
from musterd.http.server import Server

_RESOURCES = ("teams", "agents", "workflows")


def component_of(request: Request) -> BaseComponent:
    """The component of the run that the request names."""
    component: BaseComponent = request.state.component
    return component


def with_component(server: Server, handler: Handler, method: str, scope: str, *, needs_component: bool) -> Handler:
    """The handler, preceded by the look-up of the run's component and the check of the scope.

    :param scope: the scope for the runs of all components.
    :param needs_component: whether the component must be served here.
    """
    resource, action = scope.split(":")
    actions = ("read", action) if method == "GET" else (action,)

    async def handle(request: Request) -> Response:
        scopes = principal_of(request).scopes
        may_all = any(scopes.allows(f"{resource}:{name}") for name in actions)
        if not may_all and not any(scopes.allows_some(name, actions) for name in _RESOURCES):
            raise Forbidden
        run = await server.runs.locate(path_identifier(request, "run_id"), caller_of(request))
        kind, component_id = run.component_kind, run.component_id
        if not may_all and not any(scopes.allows(f"{kind}s:{name}", component_id) for name in actions):
            raise Forbidden
        component = server.registry.component(kind, component_id)
        if component is None and needs_component:
            raise Conflict(
                f"The {kind} {component_id} is no longer served here, so its runs cannot continue. Serve it again."
            )
        request.state.component = component or _undeclared(kind, component_id, run.component_name)
        return await handler(request)

    return handle


def _undeclared(kind: ComponentKind, component_id: str, name: str) -> BaseComponent:
    """What is known of a component that is not served here any more: enough to read its runs and to cancel them."""
    model = "undeclared"
    if kind == "workflow":
        workflow = Workflow(id=component_id, name=name, steps=lambda workflow, execution_input: None)
        return build_workflow(workflow, lambda spec, depth: build(spec, model, (), depth), 0)
    if kind == "agent":
        return build(Agent(id=component_id, name=name, model=model), model, (), 0)
    return build(Team(id=component_id, name=name, model=model, members=[]), model, (), 0)
