"""Log lines: for people on a terminal, or JSON; always on standard error."""

import logging
import sys

import structlog


def configure(*, as_json: bool) -> None:
    """Write log lines from now on. Lines of libraries come through as they are, warnings and above."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # Never the values of variables: they may hold what users and providers confided.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    only: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if as_json else [one_line]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *only,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form: 400 says so
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def one_line(
    logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Values without signs that move the cursor: what a client chose must not speak to a terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(sign if sign.isprintable() else _escaped(sign) for sign in value)
    return event


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
