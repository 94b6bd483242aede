"""Loads the source that a command names, also if it declares its agents and teams with Agno's classes."""

from dataclasses import dataclass

import structlog

from musterd.agno import AgnoReader, Report
from musterd.core.errors import StartError
from musterd.core.settings import Settings
from musterd.declare import Registry, load
from musterd.http.auth.modes import auth_mode

log = structlog.get_logger("musterd.cli")


@dataclass(frozen=True, slots=True)
class Source:
    """What a source declares.

    :param report: what musterd does differently from what it declares with Agno's classes.
    """

    registry: Registry
    report: Report


def load_source(source: str, settings: Settings) -> Source:
    """Load ``source``.

    :raises DeclarationError: a declaration is wrong, or cannot be served.
    """
    reader = AgnoReader(settings)
    return Source(load(source, reader), reader.report)


def require_declared_access(report: Report, settings: Settings) -> None:
    """Refuse to serve a source without authentication if it asks for a key or a token.

    :raises StartError: neither a key nor token keys are set.
    """
    if report.requires_access is not None and auth_mode(settings) == "none":
        raise StartError(
            f"{report.requires_access}, but neither a key nor token keys are set — "
            "set JWT_VERIFICATION_KEY or OS_SECURITY_KEY"
        )


def log_differences(report: Report, settings: Settings) -> None:
    """Log what musterd does differently from what the source declares."""
    for line in report.start_lines():
        log.warning(line)
    if report.host is not None and report.host.has_routes:
        log.warning("musterd checks neither a key nor the Host header for routes of the file's own application")
    if settings.model_override:
        log.warning(f"every agent and team uses the model {settings.model_override} (MUSTERD_MODEL_OVERRIDE)")
