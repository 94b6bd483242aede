"""musterd's application: a team for each mode. See bench/peer/teams.py."""

from bench.team_names import BROADCAST_MEMBERS, DEPTH, PLANNERS, TRIO
from musterd import Agent, Team

MODEL = "openai-chat:fake-model"


def agents(names: tuple[str, ...]) -> list[Agent]:
    return [Agent(id=name, name=name, role=f"Looks after {name}", model=MODEL) for name in names]


def nested() -> Team:
    """A team in a team, five deep: the innermost has an agent."""
    below: Agent | Team = Agent(id="leaf", name="leaf", role="Answers", model=MODEL)
    for level in range(DEPTH, 0, -1):
        below = Team(id=f"level-{level}", name=f"level-{level}", model=MODEL, members=[below])
    assert isinstance(below, Team)
    return below


trio = Team(id="trio", name="trio", model=MODEL, members=agents(TRIO))
route = Team(id="route", name="route", mode="route", model=MODEL, members=agents(TRIO))
crowd = Team(id="crowd", name="crowd", mode="broadcast", model=MODEL, members=agents(BROADCAST_MEMBERS))
planners = Team(id="planners", name="planners", mode="tasks", model=MODEL, members=agents(PLANNERS))
levels = nested()
