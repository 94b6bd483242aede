"""What a server says of itself: what it serves when it starts, and what it waits for when it stops."""

from collections.abc import Iterable, Iterator

import structlog

import musterd
from musterd.http.auth.modes import auth_mode
from musterd.http.server import Server
from musterd.store.open_database import shown_url

log = structlog.get_logger("musterd.cli")

MOST_NAMES = 10
"""How many teams, agents or runs are named; of more, only the number is given."""

_ACCESS = {
    "none": "open: no key is required",
    "security_key": "a key is required (Authorization: Bearer …)",
    "jwt": "a token is required (Authorization: Bearer …)",
}


def startup_lines(server: Server, address: str) -> Iterator[str]:
    """What is served, line by line.

    Programs wait for the first line, ``musterd: serving on ADDRESS``. It must stay the first and keep its form.

    :param address: where the server listens, as clients write it.
    """
    settings, registry = server.settings, server.registry
    yield f"musterd: serving on {address}"
    yield f"  version   {musterd.__version__}"
    yield f"  database  {shown_url(settings.db)}"
    if registry.teams:
        yield f"  teams     {_named(registry.teams)}"
    if registry.agents:
        yield f"  agents    {_named(registry.agents)}"
    if settings.docs_enabled:
        yield f"  API docs  {address}/docs"
    yield f"  access    {_ACCESS[auth_mode(settings)]}"
    yield "  stop      Ctrl+C"


def log_stop(server: Server) -> None:
    """Log what a stop waits for, and for how long at most."""
    run_ids = list(server.engine.live())
    if not run_ids:
        log.info("stopping: no run is at work", runs=0)
        return
    seconds = f"{server.settings.drain_seconds:g} s"
    runs = "1 run finishes its" if len(run_ids) == 1 else f"{len(run_ids)} runs finish their"
    log.info(
        f"stopping: {runs} current step, for {seconds} at most; a second Ctrl+C (or SIGTERM) stops at once",
        runs=len(run_ids),
        run_ids=_named(run_ids),
    )


def log_stop_at_once(server: Server) -> None:
    """Log what is cut off."""
    log.warning("stopping at once: steps under way are cut off", runs=len(server.engine.live()))


def log_stopped() -> None:
    """Log the end of a stop."""
    log.info("stopped")


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - MOST_NAMES
    return ", ".join(listed[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def warn_of_unknown_variables(settings_variables: Iterable[tuple[str, str | None]]) -> None:
    """Log a warning for each environment variable that looks like a setting and is none.

    :param settings_variables: its name, and the setting that was probably meant.
    """
    for name, meant in settings_variables:
        cure = f"did you mean {meant}?" if meant else "see docs/reference/settings.md"
        log.warning(f"the environment variable {name} is not a setting and has no effect: {cure}", variable=name)
