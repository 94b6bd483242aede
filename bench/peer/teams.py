"""The peer's version of bench/teams/app.py, in an environment of its own.

BENCH_DB=agno.db OPENAI_BASE_URL=http://… python bench/peer/teams.py PORT
"""

import sys
from pathlib import Path

import uvicorn

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

from agno.agent import Agent  # noqa: E402
from agno.os import AgentOS  # noqa: E402
from agno.team import Team  # noqa: E402
from agno.team.mode import TeamMode  # noqa: E402
from app import db, model  # noqa: E402

from bench.team_names import BROADCAST_MEMBERS, DEPTH, PLANNERS, TRIO  # noqa: E402


def agents(names: tuple[str, ...]) -> list[Agent]:
    return [
        Agent(id=name, name=name, role=f"Looks after {name}", model=model(), db=db, telemetry=False) for name in names
    ]


def team(name: str, members: list[Agent | Team], mode: TeamMode = TeamMode.coordinate) -> Team:
    return Team(id=name, name=name, mode=mode, model=model(), members=members, db=db, telemetry=False)


def nested() -> Team:
    below: Agent | Team = Agent(id="leaf", name="leaf", role="Answers", model=model(), db=db, telemetry=False)
    for level in range(DEPTH, 0, -1):
        below = team(f"level-{level}", [below])
    return below


teams = [
    team("trio", agents(TRIO)),
    team("route", agents(TRIO), TeamMode.route),
    team("crowd", agents(BROADCAST_MEMBERS), TeamMode.broadcast),
    team("planners", agents(PLANNERS), TeamMode.tasks),
    nested(),
]
app = AgentOS(id="bench-os", agents=[], teams=teams, telemetry=False).get_app()

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
