"""Postgres' errors in plain words, with advice for the operator."""

import psycopg
import structlog
from psycopg import conninfo

from musterd.core import clock
from musterd.core.errors import StoreUnavailable

log = structlog.get_logger("musterd.store")

QUIET_SECONDS = 5.0
"""An outage is logged again after this time, and not with every transaction that fails."""

CHECK_LOG = "check the server's log"
"""The advice for an error that is not known."""

Advice = tuple[str, str]
_GONE: Advice = ("the server is gone", "start it, or check that it is reachable")
_STARTING: Advice = ("the server is starting or stopping", "wait, or start it")
_TOO_MANY_CONNECTIONS: Advice = (
    "the server has no free connection",
    "raise its max_connections, or lower MUSTERD_DB_CONNECTIONS",
)

_POOLER_MIXES_STATEMENTS: Advice = (
    "a pooler mixes up prepared statements",
    "set MUSTERD_DB_PREPARES=false, or the pooler's max_prepared_statements above 0",
)

_BY_STATE: dict[str, Advice] = {
    "26000": _POOLER_MIXES_STATEMENTS,
    "42P05": _POOLER_MIXES_STATEMENTS,
    "57P01": _GONE,
    "57P02": _GONE,
    "57P03": _STARTING,
    "57P05": ("the server ended an idle session", "raise its idle_session_timeout"),
    "57014": ("the server cancelled a statement", "raise its statement_timeout, or check its load"),
    "25P03": ("this process was idle in a transaction for too long", "check its load"),
    "25P04": ("the server ended a slow transaction", "raise transaction_timeout"),
    "25006": (
        "the server is a read-only standby",
        "name the primary, or several hosts with ?target_session_attrs=read-write",
    ),
    "28000": ("the server rejects this user", "check user and password in the URL, and the server's pg_hba.conf"),
    "28P01": ("the server rejects this password", "check user and password in the URL"),
    "3D000": ("the database does not exist", "create it, or name another one"),
    "42501": ("the role lacks a privilege", "grant it SELECT, INSERT, UPDATE and DELETE on all tables of the schema"),
    "53100": ("the server's disk is full", "free space on its volume"),
    "53200": ("the server is out of memory", "free memory on the server"),
    "53300": _TOO_MANY_CONNECTIONS,
    "55P03": ("a lock was not available", "check pg_locks"),
    "58030": ("the server's disk reports an error", "check its volume"),
}
_BY_CLASS: dict[str, Advice] = {
    "08": _GONE,
    "40": ("transactions keep conflicting", "check its load"),
    "53": ("the server is short of resources", "check its log"),
    "57": _STARTING,
    "58": ("the server reports a system error", "check its log"),
    "XX": ("the server reports corruption", "check its log; restore the database from a backup if it says so"),
}
# Connection errors have no SQLSTATE, so they are recognized by their text. Messages of servers in other languages match
# nothing here and are quoted as they are.
# The first match counts, so specific texts come before general ones.
_BY_TEXT: tuple[tuple[str, Advice], ...] = (
    (
        "couldn't get a connection",
        ("all connections are busy", "check the server's load, or raise MUSTERD_DB_CONNECTIONS"),
    ),
    ("password authentication failed", _BY_STATE["28P01"]),
    ("no password supplied", ("the server asks for a password", "add it to the URL, or to ~/.pgpass")),
    ("no pg_hba.conf entry", _BY_STATE["28000"]),
    ("authentication failed", _BY_STATE["28000"]),
    ('role "', ("the role does not exist or may not log in", "check the user in the URL")),
    ("does not exist", _BY_STATE["3D000"]),
    ("is not currently accepting connections", ("the database does not accept connections", "allow connections again")),
    ("permission denied for database", ("the role may not connect", "grant it CONNECT on the database")),
    ("too many", _TOO_MANY_CONNECTIONS),
    ("remaining connection slots", _TOO_MANY_CONNECTIONS),
    ("the database system is", _STARTING),
    ("read-write", _BY_STATE["25006"]),
    ("read-only", _BY_STATE["25006"]),
    ("No such file or directory", ("no server is listening on that socket", "start it, or check ?host= in the URL")),
    ("Connection refused", ("no server is listening there", "start it, or check host and port in the URL")),
    ("resolve host", ("the host name is not known", "check the host in the URL")),
    ("translate host", ("the host name is not known", "check the host in the URL")),
    ("timeout expired", ("the server does not respond", "check host, port and firewalls")),
    ("SSL", ("TLS failed", "check sslmode and the certificates in the URL")),
    ("certificate", ("TLS failed", "check sslmode and the certificates in the URL")),
    ("invalid", ("the URL is not valid", "check it: postgresql://user@host:5432/database")),
)
_WRONG_URL: Advice = _BY_TEXT[-1][1]


def advice(error: psycopg.Error) -> Advice:
    """What happened to the database, and what to do."""
    state = error.sqlstate
    if state is not None:
        known = _BY_STATE.get(state) or _BY_CLASS.get(state[:2])
        return known or (_first_line(error), CHECK_LOG)
    if isinstance(error, psycopg.ProgrammingError):
        return _WRONG_URL  # never the error's own text, which quotes the password
    text = str(error)
    for part, problem_and_cure in _BY_TEXT:
        if part in text:
            return problem_and_cure
    if isinstance(error, psycopg.OperationalError):
        return _GONE if "connection" in text else (_first_line(error), "check the URL and the server")
    return _first_line(error), CHECK_LOG


def is_database_fault(error: psycopg.Error) -> bool:
    """Whether the database failed, and not a statement of musterd."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state in _BY_STATE or state[:2] in _BY_CLASS


def place(url: str) -> str:
    """The name of the database in logs and messages: its URL without user and password."""
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        return url.partition("://")[0] + "://…"
    host, port = parts.get("host") or parts.get("hostaddr") or "", str(parts.get("port") or "")
    where = f"{host}:{port}" if port.isdecimal() else str(host)  # several hosts have their ports in a list
    return f"postgresql://{where}/{parts.get('dbname') or ''}"


class Complaints:
    """Logs the outages of a database, each of them once and not for every transaction.

    :param where: the name of the database.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._last: tuple[str, float] | None = None

    def unavailable(self, error: psycopg.Error) -> StoreUnavailable:
        """The error for callers; the problem and the advice also go to the log."""
        problem, cure = advice(error)
        now = clock.monotonic()
        if self._last is None or self._last[0] != problem or now - self._last[1] >= QUIET_SECONDS:
            self._last = (problem, now)
            log.error(
                "database unavailable",
                database=self._where,
                what=problem,
                do=cure,
                error=_first_line(error),
            )
        return StoreUnavailable(reason=f"{self._where}: {problem} — {cure}")

    def recovered(self) -> None:
        """Note that the database works, and log it after an outage."""
        if self._last is not None:
            self._last = None
            log.info("database available", database=self._where)


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]
