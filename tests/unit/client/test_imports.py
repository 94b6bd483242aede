"""The client is imported without the server."""

import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "alembic", "openai", "pydantic", "pydantic_ai", "sqlalchemy", "starlette", "structlog", "uvicorn")


@pytest.mark.parametrize("statement", ["import musterd.client", "from musterd import AsyncClient, Client"])
def test_a_fresh_process_loads_nothing_of_the_server(statement: str) -> None:
    probe = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "httpx2" in modules
    assert set(HEAVY) & set(modules) == set()
    ours = {module for module in modules if module.startswith("musterd.")}
    assert {module.split(".")[1] for module in ours} == {"client"}
