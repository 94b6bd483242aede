"""Chooses the bus that the settings name."""

from musterd.core.errors import StartError
from musterd.core.settings import Settings
from musterd.engine.bus import Bus
from musterd.engine.bus_local import LocalBus
from musterd.store.database import Database


def open_bus(database: Database, settings: Settings) -> Bus:
    """The bus of this process, not joined yet.

    :raises StartError: the bus cannot be used; the message says why.
    """
    if not settings.bus:
        return LocalBus(database, settings)
    require_usable(settings)
    from musterd.engine.bus_nats import NatsBus

    return NatsBus(database, settings)


def require_usable(settings: Settings) -> None:
    """Check that the bus can be used with the configured database, and that its client is installed.

    :raises StartError: the bus cannot be used.
    """
    if settings.db.startswith("sqlite:"):
        raise StartError("MUSTERD_BUS is for several machines, which cannot share a SQLite file — use Postgres")
    try:
        import nats  # noqa: F401 - to check that it is installed
    except ImportError as error:
        problem = f"MUSTERD_BUS requires nats-py ({error.name} is missing)"
        raise StartError(f"{problem} — pip install 'musterd[nats]'") from error
