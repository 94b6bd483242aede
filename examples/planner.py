"""A planner: a leader that makes tasks of a goal, has its members do them, and puts the results together (mode tasks).

    .venv/bin/musterd serve examples/planner.py

    curl http://127.0.0.1:7777/teams/planner/runs -F stream=false \\
      -F "message=find the venue and find the caterer then write the invitation"

It runs offline, on the model ``scripted``; MUSTERD_EXAMPLE_MODEL=openai:gpt-5-mini (or any other) gives it a real one.
"""

import os

from musterd import Agent, Team

MODEL = os.environ.get("MUSTERD_EXAMPLE_MODEL", "scripted")

scout = Agent(
    id="scout",
    name="Scout",
    role="Finds venues and hotels",
    instructions="Give two choices, each with its price and what speaks against it.",
)
cook = Agent(id="cook", name="Cook", role="Finds a caterer and plans the menu", instructions="Think of allergies.")
writer = Agent(
    id="writer",
    name="Writer",
    role="Writes the invitation and the programme",
    instructions="Use what other tasks found out; invent nothing.",
)

planner = Team(
    id="planner",
    name="Planner",
    mode="tasks",
    model=MODEL,
    members=[scout, cook, writer],
    max_iterations=6,
    instructions="Plan events for up to fifty people.",
)
