"""The peer's version of bench/teams/remembering.py, in an environment of its own.

BENCH_DB=agno.db OPENAI_BASE_URL=http://… python bench/peer/remembering.py PORT
"""

import sys
from pathlib import Path

import uvicorn

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from agno.agent import Agent  # noqa: E402
from agno.memory import MemoryManager  # noqa: E402
from agno.os import AgentOS  # noqa: E402
from app import db, model  # noqa: E402

plain = Agent(id="plain", name="Plain", model=model(), db=db, telemetry=False)
remembering = Agent(
    id="remembering",
    name="Remembering",
    model=model(),
    db=db,
    memory_manager=MemoryManager(model=model(), db=db),
    update_memory_on_run=True,
    telemetry=False,
)
app = AgentOS(id="bench-os", agents=[plain, remembering], telemetry=False).get_app()

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")
