"""Log lines: for people on a terminal, or JSON; always on standard error.

Lines of libraries, warnings and above, have the same form. Never in any: headers, tokens, what users and models said.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from musterd.core.settings import Settings

FIRST = ("timestamp", "level", "logger", "event")
"""What every line has, in this order."""
CLOCK = structlog.processors.TimeStamper(fmt="iso", utc=True)


class Lines(structlog.PrintLogger):
    """Writes lines to standard error, under the name of a room."""

    def __init__(self, name: str = "musterd") -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure(settings: Settings) -> None:
    """Write log lines from now on as the settings say."""
    renderer, level = _renderer(settings), getattr(logging, settings.log_level.upper())
    ordered = _in_order if settings.log_json else _for_people
    only: list[Processor] = [structlog.processors.format_exc_info] if settings.log_json else [one_line]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.stdlib.add_logger_name,
        CLOCK,
    ]
    structlog.configure(
        processors=[*shared, *only, ordered, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: Lines(*names[:1]),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form: 400 says so
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *only, ordered, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _renderer(settings: Settings) -> Processor:
    if settings.log_json:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        # Never the values of variables: they may hold what users and providers confided.
        exception_formatter=structlog.dev.plain_traceback,
    )


def _in_order(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What every line has comes first."""
    return {**{name: line[name] for name in FIRST if name in line}, **line}


def _for_people(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Which of our rooms says it matters to nobody who reads along."""
    if line.get("logger", "").startswith("musterd"):
        del line["logger"]
    return line


def one_line(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Values without signs that move the cursor: what a client chose must not speak to a terminal."""
    for key, value in line.items():
        if isinstance(value, str) and not value.isprintable():
            line[key] = "".join(sign if sign.isprintable() else _escaped(sign) for sign in value)
    return line


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
