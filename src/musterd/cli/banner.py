"""What a server prints when it starts, and logs when it stops."""

import sys
from collections.abc import Iterable

import structlog

import musterd
from musterd.cli.output import counted
from musterd.cli.page import page_url
from musterd.cli.person_tools import person_flag, tool_text
from musterd.cli.ready_line import ready_line
from musterd.cli.remote.server_options import DEFAULT_URL
from musterd.core.redacted_urls import redacted_url
from musterd.http.auth.modes import auth_mode
from musterd.http.server import Server

log = structlog.get_logger("musterd.cli")

MAX_NAMES = 10
"""Most teams, agents or runs that are listed by name; the rest are only counted."""

_ACCESS = {
    "none": "open: no key is required",
    "security_key": "a key is required (Authorization: Bearer …)",
    "jwt": "a token is required (Authorization: Bearer …)",
}


def print_startup(server: Server, address: str, waiting: int = 0) -> None:
    """Print to standard error what is served, as text or as a log line, and then to standard output where.

    Programs wait for ``musterd: serving on ADDRESS``. It must remain the only line on standard output, in this form.

    :param address: the base URL of the server.
    :param waiting: how many calls and steps in its database wait for a person.
    """
    facts = startup_facts(server, address, waiting)
    if server.settings.log_json:
        log.info("serving", version=musterd.__version__, url=address, **facts)
    else:
        keys = {"run": _run_command(server, address), "stop": "Ctrl+C"}
        lines = [f"  {name:9} {value}" for name, value in {**facts, **keys}.items() if value]
        print("\n".join([f"musterd {musterd.__version__}", *lines]), file=sys.stderr, flush=True)  # noqa: T201
    print(ready_line(address), flush=True)  # noqa: T201 - the output of the command


def _run_command(server: Server, address: str) -> str:
    """A command that runs something of what is served, in another terminal; empty if nothing is."""
    registry = server.registry
    component_id = next((name for kind in (registry.teams, registry.workflows, registry.agents) for name in kind), None)
    return f'musterd run {component_id} "…"{_url_option(address)}' if component_id else ""


def _url_option(address: str) -> str:
    """What a command needs to reach the server."""
    return "" if address == DEFAULT_URL else f" --url {address}"


def startup_facts(server: Server, address: str, waiting: int = 0) -> dict[str, str]:
    """What is served, and where, and what waits for a person. The parameters are those of :func:`print_startup`."""
    settings, registry = server.settings, server.registry
    facts = {
        "database": redacted_url(settings.db),
        "teams": _listed(registry.teams),
        "agents": _listed(registry.agents),
        "workflows": _listed(registry.workflows),
        "approvals": _listed(_person_tools(server)),
        "page": page_url(address),
        "docs": f"{address}/docs" if settings.docs_enabled else "",
        "access": _ACCESS[auth_mode(settings)],
        "waiting": f"{counted(waiting, 'approval')}: musterd approvals ls{_url_option(address)}" if waiting else "",
    }
    return {name: value for name, value in facts.items() if value}


def _person_tools(server: Server) -> Iterable[str]:
    """The tools for whose calls runs wait for a person, each once."""
    tools = (tool for component in server.registry.agents_and_teams() for tool in component.tools)
    return dict.fromkeys(tool_text(tool) for tool in tools if person_flag(tool))


def log_stop(server: Server) -> None:
    """Log which runs a graceful stop waits for, and for how long at most."""
    run_ids = list(server.worker.live_attempts())
    if not run_ids:
        log.info("stopping: no runs are active", runs=0)
        return
    seconds = f"{server.settings.drain_seconds:g} s"
    runs = "1 run finishes its" if len(run_ids) == 1 else f"{len(run_ids)} runs finish their"
    log.info(
        f"stopping: {runs} current step, for at most {seconds}; a second Ctrl+C (or SIGTERM) stops now",
        runs=len(run_ids),
        run_ids=_listed(run_ids),
    )


def log_stop_now(server: Server) -> None:
    """Log how many runs an immediate stop interrupts, if any."""
    if count := len(server.worker.live_attempts()):
        log.warning("stopping now: current steps are interrupted", runs=count)


def log_stopped() -> None:
    """Log that the stop is complete."""
    log.info("stopped")


def _listed(names: Iterable[str]) -> str:
    all_names = list(names)
    more = len(all_names) - MAX_NAMES
    return ", ".join(all_names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def warn_of_unknown_variables(variables: Iterable[tuple[str, str | None]]) -> None:
    """Log a warning for each environment variable that looks like a setting but is not one.

    :param variables: the name of each variable, and the setting that was probably meant.
    """
    for name, suggestion in variables:
        hint = f"did you mean {suggestion}?" if suggestion else "musterd config show lists the settings"
        log.warning(f"the environment variable {name} is not a setting and has no effect: {hint}", variable=name)
