"""``musterd doctor``: checks whether a server would start and work here, and suggests what to do about problems."""

import asyncio
import contextlib
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

import musterd
from musterd.cli.doctor_access import access_checks
from musterd.cli.doctor_bus import bus_checks
from musterd.cli.doctor_check import FAIL, OK, WARN, Check, fail, failure, ok, warn
from musterd.cli.doctor_database import database_checks
from musterd.cli.doctor_source import source_checks
from musterd.cli.output import counted, one_line, print_json, print_text
from musterd.cli.settings import settings_from, unknown_variables
from musterd.core.errors import StartError

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 35)
MARKS = {OK: "ok", WARN: "warn", FAIL: "FAIL"}
EXIT_CODES = {OK: 0, WARN: 1, FAIL: 2}


def doctor(source: str | None, *, db: str | None, host: str, port: int, connects_to_mcp: bool, as_json: bool) -> int:
    """Run all checks and print the results; returns 0 if all are ok, 1 after a warning, and 2 after a failure."""
    with _without_log():
        checks = list(_checks(source, db, host, port, connects_to_mcp=connects_to_mcp))
    worst = max((check.level for check in checks), key=[OK, WARN, FAIL].index)
    if as_json:
        report = {"level": worst, "version": musterd.__version__, "checks": [asdict(check) for check in checks]}
        print_json(report)
    else:
        print_text("\n".join(_lines(checks)))
    return EXIT_CODES[worst]


def _lines(checks: list[Check]) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        yield f"{MARKS[check.level]:4}  {check.name:{width}}  {one_line(check.found)}"
        if check.cure:
            yield f"{'':4}  {'':{width}}  → {one_line(check.cure)}"
    problems = [check for check in checks if check.level != OK]
    yield ""
    needing = "1 needs attention" if len(problems) == 1 else f"{len(problems)} need attention"
    yield f"{counted(len(checks), 'check')}, {needing if problems else 'all ok'}"


def _checks(source: str | None, db: str | None, host: str, port: int, *, connects_to_mcp: bool) -> Iterator[Check]:
    yield _python()
    yield _sqlite()
    yield _page()
    try:
        settings = settings_from(db)
    except StartError as error:
        yield from _failures("settings", error)
        return
    yield ok("settings", "read from the environment")
    for variable, suggestion in unknown_variables(os.environ):
        cure = f"did you mean {suggestion}?" if suggestion else "musterd config show lists the settings"
        yield warn("settings", f"{variable} is not a setting and has no effect", cure)
    yield from _results("database", lambda: database_checks(settings))
    yield from _results("bus", lambda: bus_checks(settings))
    yield from _results("access", lambda: access_checks(settings, host, port))
    if source is not None:
        yield from _results(
            "source", lambda: asyncio.run(source_checks(source, settings, connects_to_mcp=connects_to_mcp))
        )


def _results(name: str, run_checks: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The results of ``run_checks``, up to the first check that is not possible."""
    try:
        yield from run_checks()
    except StartError as error:
        yield from _failures(name, error)


def _failures(name: str, error: StartError) -> Iterator[Check]:
    for line in error.message.splitlines():
        yield failure(name, line)


def _python() -> Check:
    version = f"{platform.python_implementation()} {platform.python_version()}, musterd {musterd.__version__}"
    if sys.version_info < OLDEST_PYTHON:
        return fail("python", version, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    return ok("python", version)


def _sqlite() -> Check:
    from musterd.store.inspection import sqlite_version

    version = sqlite_version()
    text = ".".join(map(str, version))
    if version < OLDEST_SQLITE:
        return fail("sqlite", text, f"use a Python with SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer")
    return ok("sqlite", text)


def _page() -> Check:
    from musterd.http.ui import HOW_TO_BUILD, is_built

    if is_built():
        return ok("page", "installed")
    return warn("page", "this installation has no page: /ui/ answers 404; the API is not affected", HOW_TO_BUILD)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Discard log lines: the results of the checks already say what the log would."""
    import structlog

    config = structlog.get_config()
    with open(os.devnull, "w", encoding="utf-8") as null_file:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(null_file), cache_logger_on_first_use=False)
        try:
            yield
        finally:
            structlog.configure(**config)
