"""The checks of ``musterd doctor`` on authentication and the listening address."""

import contextlib
import http.client
import importlib.util
from collections.abc import Iterator

from musterd.cli.doctor_check import Check, fail, failure, ok, warn
from musterd.core.errors import StartError
from musterd.core.loopback import is_loopback
from musterd.core.settings import Settings
from musterd.http.auth.modes import auth_mode

SHORTEST_KEY = 16
ANSWER_SECONDS = 2.0


def access_checks(settings: Settings, host: str, port: int) -> Iterator[Check]:
    """All checks of access, in order."""
    yield _authentication(settings, host, is_local=is_loopback(host))
    yield _port(settings, host, port)
    if not settings.tls_verify:
        cure = "unset MUSTERD_TLS_VERIFY; name additional authorities with SSL_CERT_FILE"
        yield warn("tls", "certificates of model providers are not verified", cure)
    if settings.otel and importlib.util.find_spec("opentelemetry.sdk") is None:
        yield fail("otel", "MUSTERD_OTEL is set but OpenTelemetry is not installed", "pip install 'musterd[otel]'")


def _authentication(settings: Settings, host: str, *, is_local: bool) -> Check:
    """How callers authenticate.

    :raises StartError: the settings contradict each other.
    """
    mode, key = auth_mode(settings), settings.security_key
    if mode == "jwt":
        from musterd.http.auth.key_sources import sources_of

        names = ", ".join(source.name for source in sources_of(settings))
        return ok("key", f"tokens (JWT) are required, and verified with {names}")
    if key and len(key) < SHORTEST_KEY:
        return warn("key", f"set, but shorter than {SHORTEST_KEY} characters", "use a longer key in OS_SECURITY_KEY")
    if key:
        return ok("key", "set")
    if is_local:
        return ok("key", f"none; anyone on this machine has full access ({host})")
    if settings.insecure:
        return warn("key", f"none, and {host} is reachable from other machines", "set OS_SECURITY_KEY")
    cure = "set OS_SECURITY_KEY or JWT_VERIFICATION_KEY, or serve on 127.0.0.1"
    return fail("key", f"none, and {host} is reachable from other machines", cure)


def _port(settings: Settings, host: str, port: int) -> Check:
    """Whether a server could listen there, or is the one that uses the database."""
    from musterd.cli.listening import listen

    try:
        listener = listen(host, port)
    except StartError as error:
        if not _is_musterd(host, port):
            return failure("port", error.message)
        if servers := _servers_of(settings.db):
            return ok("port", f"{host}:{port}: a musterd server runs there; {', '.join(servers)} serves this database")
        finding = f"{host}:{port}: a musterd server runs there, and no server of this database is known"
        return fail("port", finding, "stop it, or choose another port with --port")
    with contextlib.closing(listener):
        return ok("port", f"{host}:{port} is free")


def _servers_of(url: str) -> list[str]:
    """The servers that use a database; none if it cannot be read, which the checks of the database report."""
    from musterd.store import inspection

    try:
        if inspection.revision(url) is None:
            return []
        inspection.require_head_tables(url)
        return inspection.inspect(url).servers
    except StartError:
        return []


def _is_musterd(host: str, port: int) -> bool:
    """Whether a musterd process answers there."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        connection = http.client.HTTPConnection(target, port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", "/-/live")
            return connection.getresponse().read() == b'{"status":"live"}'
    except (OSError, http.client.HTTPException):
        return False
