"""The peer's version of bench/workflows/app.py, in an environment of its own.

BENCH_DB=agno.db OPENAI_BASE_URL=http://… python bench/peer/workflows.py PORT
"""

import sys
from pathlib import Path

import uvicorn

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import agno.workflow  # noqa: E402
from agno.agent import Agent  # noqa: E402
from agno.os import AgentOS  # noqa: E402
from app import db, model  # noqa: E402

from bench.workflow_declarations import workflows  # noqa: E402


def agent(name: str) -> Agent:
    return Agent(id=name, name=name, model=model(), db=db, telemetry=False)


app = AgentOS(
    id="bench-os", workflows=workflows(agno.workflow, agent, db=db, telemetry=False), telemetry=False
).get_app()

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
