"""Probes: what a process answers that takes no requests, and is to be watched all the same."""

from starlette.applications import Starlette
from starlette.routing import Route

PROBES = frozenset({"/-/live", "/-/ready", "/-/metrics", "/health"})


def keep_probes(app: Starlette) -> Starlette:
    """``app`` with its probes and figures alone, behind the same border; everything else is not found."""
    app.router.routes[:] = [route for route in app.router.routes if isinstance(route, Route) and route.path in PROBES]
    return app
