"""The sample application of the flow tests: minimal teams and agents, and a server with its own database file."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from pydantic_ai.models import Model
from starlette.applications import Starlette

from musterd import Agent, Knowledge, Settings, Team, ToolContext, Workflow, create_app, tool
from musterd.http.server import Server
from musterd.http.uvicorn_protocol import protocol_options
from tests.support import scanned
from tests.support.http import ServerClient
from tests.support.tools import Person, boom, get_weather, remember

SEND_BUFFER_BYTES = 16 * 1024
Serve = Callable[..., contextlib.AbstractAsyncContextManager[ServerClient]]


@tool
def tell(context: ToolContext) -> dict[str, Any]:
    """Return the context of the run other than its message."""
    return {"dependencies": context.dependencies, "metadata": context.metadata, "user_id": context.user_id}


@dataclass(frozen=True)
class Sample:
    """The components that the sample server serves."""

    teams: list[Team]
    agents: list[Agent]
    workflows: list[Workflow] = field(default_factory=list)
    knowledge: list[Knowledge] = field(default_factory=list)


def sample(model: str | Model = "scripted") -> Sample:
    """Teams and agents of every kind in the contract."""
    weather = Agent(id="weather-agent", name="Weather Agent", role="Reports the weather", tools=[get_weather, boom])
    writer = Agent(id="writer-agent", name="Writer Agent", role="Writes text")
    nested = Agent(id="n-writer-agent", name="n-Writer Agent", role="Writes text")
    inner = Team(id="inner-team", name="Inner Team", members=[nested])
    tools = [get_weather, boom, remember, tell]
    demo: dict[str, Any] = {"description": "A demo team", "instructions": ["Be brief"], "tools": tools}
    teams = [
        Team(id="demo-team", name="Demo Team", members=[weather, writer], model=model, **demo),
        Team(id="other-team", name="Other Team", members=[writer], model=model),
        Team(id="outer-team", name="Outer Team", members=[inner], model=model),
        Team(id="person-team", name="Person Team", members=[writer], model=model, output_schema=Person),
        Team(id="quiet-team", name="Quiet Team", members=[writer], model=model, stream_member_events=False),
        Team(id="full-team", name="Full Team", members=[writer], model=model, store_member_responses=True),
        Team(id="state-team", name="State Team", members=[], model=model, session_state={"a": 1}, tools=tools),
        Team(id="route-team", name="Route Team", members=[writer], model=model, mode="route"),
    ]
    agents = [
        Agent(id="weather-agent", name="Weather Agent", role="Reports the weather", tools=[get_weather], model=model),
        Agent(id="solo-agent", name="Solo Agent", tools=[get_weather, boom, remember], model=model),
    ]
    return Sample(teams, agents)


def settings_for(db: Path, /, **changes: Any) -> Settings:
    """Settings of a test server: it retries and stops at once, and no cancel or heartbeat is late on a busy machine."""
    quick = {"model_retry_seconds": 0, "drain_seconds": 0}
    patient = {"cancel_wait_seconds": 60, "dead_seconds": 60}
    return Settings(**{"db": f"sqlite:///{db}", **quick, **patient, **changes})


def app_on(
    db: Path, model: str | Model = "scripted", served: Sample | None = None, is_loopback: bool = True, **changes: Any
) -> Starlette:
    """The application with the sample components, or with ``served``, on the file ``db``."""
    served = served or sample(model)
    return create_app(
        teams=served.teams,
        agents=served.agents,
        workflows=served.workflows,
        knowledge=served.knowledge,
        settings=settings_for(db, **changes),
        is_loopback=is_loopback,
    )


def copied_file(template: Path, folder: Path) -> Path:
    """A new database in ``folder``, copied from a template, because creating one takes half a second."""
    return Path(shutil.copy(template, folder / "musterd.db"))


@contextlib.asynccontextmanager
async def in_process(app: Starlette, model: Any = None, **client_options: Any) -> AsyncIterator[ServerClient]:
    """Serve ``app`` to a client that calls it without a network. Responses arrive only when they are complete."""
    server: Server = app.state.server
    async with (
        app.router.lifespan_context(app),
        scanned.AsyncClient(
            **{
                "transport": httpx2.ASGITransport(app),
                "base_url": "http://localhost",
                "timeout": None,
                **client_options,
            }
        ) as http,
    ):
        yield ServerClient(app, server, http, model)


@contextlib.asynccontextmanager
async def on_loopback(app: Starlette, model: Any = None, **client_options: Any) -> AsyncIterator[ServerClient]:
    """Serve ``app`` on a free loopback port, with real connections, which close and have small buffers."""
    server: Server = app.state.server
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        host, port = listener.getsockname()[:2]
        config = uvicorn.Config(app, lifespan="on", timeout_graceful_shutdown=5, **protocol_options(server.settings))
        running = _Uvicorn(config)
        serving = asyncio.create_task(running.serve(sockets=[listener]))
        try:
            await running.is_up.wait()
            async with scanned.AsyncClient(
                **{"base_url": f"http://{host}:{port}", "timeout": 60, "trust_env": False, **client_options}
            ) as http:
                yield ServerClient(app, server, http, model)
        finally:
            server.begin_stop()
            running.should_exit = True
            await serving


class _Uvicorn(uvicorn.Server):
    """Signals when it serves, and installs no signal handlers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
