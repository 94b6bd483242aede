"""Open files: as many as the connections of a process may need, as far as the system allows it."""

import resource

import structlog

from musterd.core.settings import Settings

log = structlog.get_logger("musterd.cli")

FILES_BESIDE = 1024
"""What a process may need beside its clients' connections: models, database, uploads."""


def fitting(settings: Settings) -> Settings:
    """Have the system allow the files that the settings need; settings with fewer connections where it does not."""
    allowed = _allowed(settings.connections + FILES_BESIDE)
    most = allowed - min(FILES_BESIDE, allowed // 2)
    if most >= settings.connections:
        return settings
    log.warning(
        "fewer connections than MUSTERD_CONNECTIONS: the system allows fewer open files (ulimit -Hn)",
        connections=most,
        open_files=allowed,
    )
    return settings.model_copy(update={"connections": most})


def _allowed(wanted: int) -> int:
    """Raise the process's own limit, and tell it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most
