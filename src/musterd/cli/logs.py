"""Configures logging: text for people or JSON, always on standard error.

Warnings and errors of libraries have the same form. Log lines never contain headers, tokens, or the texts of users and
models.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from musterd.core.log_rendering import LossyPrinter, console_renderer, escape_control_characters
from musterd.core.settings import Settings

COMMON_KEYS = ("timestamp", "level", "logger", "event")
"""The keys of every line, in this order."""
CLOCK = structlog.processors.TimeStamper(fmt="iso", utc=True)


class Lines(LossyPrinter):
    """Writes lines to standard error; has the name of the module that logs."""

    def __init__(self, name: str = "musterd") -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure(settings: Settings) -> None:
    """Configure structlog and the standard library's logging as the settings say."""
    renderer, level = _renderer(settings), getattr(logging, settings.log_level.upper())
    arrange = _in_order if settings.log_json else _without_own_logger
    sanitize = [structlog.processors.format_exc_info if settings.log_json else escape_control_characters]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        CLOCK,
    ]
    structlog.configure(
        processors=[*shared, *sanitize, arrange, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: Lines(*names[:1]),
        cache_logger_on_first_use=True,
    )
    # It warns about every malformed form. The client is told with status 400.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *sanitize, arrange, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _renderer(settings: Settings) -> Processor:
    if settings.log_json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return console_renderer(sys.stderr)


def _in_order(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the common keys first."""
    return {**{name: line[name] for name in COMMON_KEYS if name in line}, **line}


def _without_own_logger(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop the logger name of musterd's own lines: it does not help people who read the log."""
    if line.get("logger", "").startswith("musterd"):
        del line["logger"]
    return line
