"""The operations that list the agents, teams and workflows that are served."""

from starlette.requests import Request

from musterd.http.auth.scopes import shows
from musterd.http.operation import operation
from musterd.http.server import Server
from musterd.wire import components
from musterd.wire.components import AgentResponse, TeamResponse, WorkflowSummary
from musterd.wire.workflows import WorkflowResponse, workflow_item


@operation("GET", "/agents", "get_agents", scope="agents:read", tag="Agents", summary="List All Agents", lists=True)
async def list_agents(server: Server, request: Request) -> list[AgentResponse]:
    """List the agents that the caller may see. Members of teams are listed with their teams."""
    agents = [agent for agent in server.registry.agents.values() if shows(request, "agents", agent.id)]
    return [components.agent_item(agent, server.describe) for agent in agents]


@operation(
    "GET",
    "/agents/{agent_id}",
    "get_agent",
    scope="agents:read",
    tag="Agents",
    summary="Get Agent Details",
    errors={404: "Agent not found"},
)
async def get_agent(server: Server, agent_id: str) -> AgentResponse:
    """Get one agent."""
    return components.agent_item(server.served_component(server.registry.agents, "agent", agent_id), server.describe)


@operation("GET", "/teams", "get_teams", scope="teams:read", tag="Teams", summary="List All Teams", lists=True)
async def list_teams(server: Server, request: Request) -> list[TeamResponse]:
    """List the teams that the caller may see, each with its members."""
    teams = [team for team in server.registry.teams.values() if shows(request, "teams", team.id)]
    return [components.team_item(team, server.describe) for team in teams]


@operation(
    "GET",
    "/teams/{team_id}",
    "get_team",
    scope="teams:read",
    tag="Teams",
    summary="Get Team Details",
    errors={404: "Team not found"},
)
async def get_team(server: Server, team_id: str) -> TeamResponse:
    """Get one team with its members."""
    return components.team_item(server.served_component(server.registry.teams, "team", team_id), server.describe)


@operation(
    "GET",
    "/workflows",
    "get_workflows",
    scope="workflows:read",
    tag="Workflows",
    summary="List All Workflows",
    lists=True,
)
async def list_workflows(server: Server, request: Request) -> list[WorkflowSummary]:
    """List the workflows that the caller may see."""
    workflows = server.registry.workflows.values()
    return [components.workflow_summary(item) for item in workflows if shows(request, "workflows", item.id)]


@operation(
    "GET",
    "/workflows/{workflow_id}",
    "get_workflow",
    scope="workflows:read",
    tag="Workflows",
    summary="Get Workflow Details",
    errors={404: "Workflow not found"},
)
async def get_workflow(server: Server, workflow_id: str) -> WorkflowResponse:
    """Get one workflow with its declared steps."""
    workflow = server.served_component(server.registry.workflows, "workflow", workflow_id)
    return workflow_item(workflow, server.describe)


OPERATIONS = (list_agents, get_agent, list_teams, get_team, list_workflows, get_workflow)
