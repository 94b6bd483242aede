"""What the descriptions of operations on runs share."""

from typing import Literal

from musterd.http.openapi.described import Schema, in_path

Kind = Literal["team", "agent"]

RUN_ID = in_path("run_id", "The run's id")
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "A key of your own for this request: sent again with it, the request is done once and answered with "
    "what came of it, a run as it then stands. Another request with it is a 409. It is kept as long as the run, or the "
    "first run of the fork",
}

TEAM_ID = in_path("team_id", "The team's id")
AGENT_ID = in_path("agent_id", "The agent's id")


def tags_of(kind: Kind) -> tuple[str, ...]:
    """The tag of the operations on the runs of teams, or of agents."""
    return (f"{kind.capitalize()}s",)


def in_path_of(kind: Kind) -> Schema:
    """The component's id in the path."""
    return TEAM_ID if kind == "team" else AGENT_ID
