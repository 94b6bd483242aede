"""The position of a subscriber in the event stream of a session.

Events have no order across runs, so the position contains an index for each run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a subscriber.

    :param seq: the sequence number up to which all runs are known; -1 if none. Later runs are sent from their start.
    :param runs: the index of the last received event of each root run that had not finished.
    :param session_created_at: when the session was created. If it differs, the session was deleted and its id was used
        again, so everything is new.
    """

    seq: int = -1
    runs: Mapping[str, int] = field(default_factory=dict)
    session_created_at: float | None = None
