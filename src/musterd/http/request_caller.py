"""Who asks, as the border has found out."""

from starlette.requests import Request

from musterd.core.callers import Caller


def caller_of(request: Request) -> Caller:
    """Who asks. Under a shared key nobody is told from anybody else."""
    caller: Caller = request.state.caller
    return caller
