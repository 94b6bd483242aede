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
    errors: list[structlog.typing.Processor] = [structlog.processors.format_exc_info] if as_json else []
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *errors,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every broken form: 400 says so
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
