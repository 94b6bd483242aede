"""Raises the limit on open files to what the configured number of connections needs."""

import resource

import structlog

from musterd.core.settings import Settings

log = structlog.get_logger("musterd.cli")

OTHER_FILES = 1024
"""Open files reserved for everything except client connections: models, database, uploads."""


def fit_to_file_limit(settings: Settings) -> Settings:
    """Raise the limit to what the settings need. If the system forbids that, reduce the number of connections."""
    open_files = _raise_limit(settings.connections + OTHER_FILES)
    connections = open_files - min(OTHER_FILES, open_files // 2)
    if connections >= settings.connections:
        return settings
    log.warning(
        "connection limit reduced because the system allows too few open files; raise ulimit -Hn",
        connections=connections,
        open_files=open_files,
    )
    return settings.model_copy(update={"connections": connections})


def _raise_limit(needed: int) -> int:
    """Raise the soft limit of the process as far as possible, and return the number of files it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
