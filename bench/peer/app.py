"""The peer's application: the team of bench/app.py on agno's AgentOS, in an environment of its own.

BENCH_DB=agno.db OPENAI_BASE_URL=http://… python bench/peer/app.py PORT
"""

import os
import sys

import uvicorn
from agno.agent import Agent
from agno.db.base import BaseDb
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.models.openai.like import OpenAILike
from agno.os import AgentOS
from agno.team import Team


def get_weather(city: str) -> str:
    """Current weather in a city.

    Args:
        city: Name of the city.
    """
    return f"Sunny in {city}"


def model() -> OpenAILike:
    return OpenAILike(id="fake-model", base_url=os.environ["OPENAI_BASE_URL"], api_key="none")


def database() -> BaseDb:
    where = os.environ["BENCH_DB"]
    if "://" in where:
        return PostgresDb(db_url=where.replace("postgresql://", "postgresql+psycopg://"), id="bench-db")
    return SqliteDb(db_file=where, id="bench-db")


db = database()
weather = Agent(
    id="weather-agent",
    name="Weather Agent",
    role="Knows the weather",
    model=model(),
    tools=[get_weather],
    db=db,
    telemetry=False,
)
writer = Agent(id="writer-agent", name="Writer Agent", role="Writes short texts", model=model(), db=db, telemetry=False)
team = Team(
    id="demo-team",
    name="Demo Team",
    model=model(),
    members=[weather, writer],
    instructions=["Be brief"],
    db=db,
    telemetry=False,
)
app = AgentOS(id="bench-os", agents=[weather, writer], teams=[team], telemetry=False).get_app()

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
