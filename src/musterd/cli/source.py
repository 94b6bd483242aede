"""Loads the source that a command names, also if it declares its agents and teams with Agno's classes."""

from dataclasses import dataclass

import structlog

from musterd.agno import AgnoReader, Report
from musterd.agno.system_settings import with_declared
from musterd.core.errors import StartError
from musterd.core.settings import Settings
from musterd.declare import Registry, load
from musterd.http.auth.modes import auth_mode

log = structlog.get_logger("musterd.cli")


@dataclass(frozen=True, slots=True)
class Source:
    """What a source declares.

    :param report: what musterd does differently from what it declares with Agno's classes.
    :param settings: the settings of the command, with those that the source declares.
    """

    registry: Registry
    report: Report
    settings: Settings


def load_source(source: str, settings: Settings) -> Source:
    """Load ``source``.

    :raises DeclarationError: a declaration is wrong, or cannot be served.
    """
    reader = AgnoReader(settings)
    registry = load(source, reader)
    return Source(registry, reader.report, with_declared(settings, reader.report.settings))


def require_declared_access(report: Report, settings: Settings) -> None:
    """Refuse to serve a source without authentication if it asks for a key or a token.

    :raises StartError: neither a key nor token keys are set, or the source needs token keys.
    """
    if report.requires_tokens is not None and auth_mode(settings) != "jwt":
        # Otherwise a client could name any user: what the middleware puts into a request is not read.
        raise StartError(
            f"{report.requires_tokens}, but musterd does not take the user from it — "
            "set JWT_VERIFICATION_KEY or JWT_JWKS_FILE"
        )
    if report.requires_access is not None and auth_mode(settings) == "none":
        raise StartError(
            f"{report.requires_access}, but neither a key nor token keys are set — "
            "set JWT_VERIFICATION_KEY or OS_SECURITY_KEY"
        )


def log_differences(source: Source) -> None:
    """Log what a process that drives runs does differently from what the source declares."""
    report, override = source.report, source.settings.model_override
    for line in report.start_lines():
        log.warning(line)
    if override:
        log.warning(f"every agent and team uses the model {override} (MUSTERD_MODEL_OVERRIDE)")
    if override and report.is_of_agno:
        log.warning(
            "runs that the file's own functions start with Agno, such as agent.run() in a tool, still call the "
            "declared models (MUSTERD_MODEL_OVERRIDE does not replace these)"
        )


def log_open_routes(report: Report) -> None:
    """Log that the routes of the file's own application are served as they are."""
    if report.host is not None and report.host.has_routes:
        log.warning("musterd checks neither a key nor the Host header for routes of the file's own application")
