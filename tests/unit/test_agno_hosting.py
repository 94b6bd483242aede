"""musterd inside the application of a file: what that application's lifespan opens is open while runs are driven."""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette

from musterd.agno.hosting import HostApplication


async def test_runs_are_driven_only_while_the_files_own_lifespan_is_open() -> None:
    order: list[str] = []

    def application(name: str) -> Starlette:
        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            order.append(f"{name} opens")
            yield
            order.append(f"{name} closes")

        return Starlette(lifespan=lifespan)

    server = application("musterd")
    server.state.server = None
    served = HostApplication(application("file"), own_routes_first=False).serve_inside(server)
    async with served.router.lifespan_context(served):
        order.append("serves")
    assert order == ["file opens", "musterd opens", "serves", "musterd closes", "file closes"]
