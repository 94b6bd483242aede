"""``musterd doctor``: whether a server would start here and do its work, check by check, and what to do where not."""

import asyncio
import contextlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

import musterd
from musterd.cli.doctor_access import door_checks
from musterd.cli.doctor_check import FAIL, OK, WARN, Check, fail, ok, warn
from musterd.cli.doctor_database import database_checks
from musterd.cli.doctor_source import source_checks
from musterd.cli.settings import settings_from, unknown_variables
from musterd.core.errors import StartError

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 35)
MARKS = {OK: "ok", WARN: "warn", FAIL: "FAIL"}
EXIT_CODES = {OK: 0, WARN: 1, FAIL: 2}


def doctor(source: str | None, *, db: str | None, host: str, port: int, asks_servers: bool, as_json: bool) -> int:
    """Make every check and show what it found; 0: all is well, 1: something should be looked at, 2: something fails."""
    with _quiet():
        checks = list(_checks(source, db, host, port, asks_servers=asks_servers))
    worst = max((check.level for check in checks), key=[OK, WARN, FAIL].index)
    if as_json:
        told = {"level": worst, "version": musterd.__version__, "checks": [asdict(check) for check in checks]}
        print(json.dumps(told))  # noqa: T201 - what a command says
    else:
        print("\n".join(_lines(checks)))  # noqa: T201
    return EXIT_CODES[worst]


def _lines(checks: list[Check]) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        yield f"{MARKS[check.level]:4}  {check.name:{width}}  {check.found}"
        if check.cure:
            yield f"{'':4}  {'':{width}}  → {check.cure}"
    bad = [check for check in checks if check.level != OK]
    yield ""
    yield f"{len(checks)} checks, {len(bad)} to look at" if bad else f"{len(checks)} checks, all well"


def _checks(source: str | None, db: str | None, host: str, port: int, *, asks_servers: bool) -> Iterator[Check]:
    yield _python()
    yield _sqlite()
    try:
        settings = settings_from(db)
    except StartError as error:
        yield from _refused("settings", error)
        return
    yield ok("settings", "read from the environment")
    for variable, meant in unknown_variables(os.environ):
        cure = f"did you mean {meant}?" if meant else "see docs/reference/settings.md"
        yield warn("settings", f"{variable} is not a setting and has no effect", cure)
    yield from _made("database", lambda: database_checks(settings))
    yield from _made("doors", lambda: door_checks(settings, host, port))
    if source is not None:
        yield from _made("source", lambda: asyncio.run(source_checks(source, settings, asks_servers=asks_servers)))


def _made(name: str, make: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks that ``make`` makes, up to the one that it cannot make."""
    try:
        yield from make()
    except StartError as error:
        yield from _refused(name, error)


def _refused(name: str, error: StartError) -> Iterator[Check]:
    for problem in error.message.splitlines():
        what, _, cure = problem.partition(" — ")
        yield fail(name, what, cure)


def _python() -> Check:
    version = f"{platform.python_implementation()} {platform.python_version()}, musterd {musterd.__version__}"
    if sys.version_info < OLDEST_PYTHON:
        return fail("python", version, f"use Python {'.'.join(map(str, OLDEST_PYTHON))} or newer")
    return ok("python", version)


def _sqlite() -> Check:
    from musterd.store.inspection import sqlite_version

    version = sqlite_version()
    shown = ".".join(map(str, version))
    if version < OLDEST_SQLITE:
        return fail("sqlite", shown, f"use a Python with SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer")
    return ok("sqlite", shown)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing but the page: what a check makes the log say is in what it found."""
    import structlog

    before = structlog.get_config()
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(nowhere), cache_logger_on_first_use=False)
        try:
            yield
        finally:
            structlog.configure(**before)
