"""A page of a run's events as JSON: each event is, byte for byte, what a stream sends as its data."""

from musterd.core import jsontext
from musterd.core.records import RunRow
from musterd.wire.sse import json_of
from musterd.wire.states import status_of


class EventPage:
    """Collects events until there are ``limit``.

    :param after: the index behind which the page begins.
    """

    def __init__(self, after: int, limit: int) -> None:
        self.last_index = after
        self._limit = limit
        self._shown: list[bytes] = []
        self.has_more = False

    def take(self, index: int, frame: bytes | None) -> bool:
        """Take the next event, None where it is not shown; False: the page was full before."""
        if frame is not None:
            if len(self._shown) == self._limit:
                self.has_more = True
                return False
            self._shown.append(json_of(frame))
        self.last_index = index
        return True

    def as_json(self, run: RunRow) -> bytes:
        """The answer.

        :param run: the run as it stood before its events were read.
        """
        facts = {
            "last_event_index": self.last_index,
            "has_more": self.has_more,
            "is_final": run.state.is_final and not self.has_more,
        }
        head = jsontext.dumps({"run_id": run.run_id, "session_id": run.session_id, "status": status_of(run.state)})
        text = f'{head[:-1]},"events":['.encode("utf-8", "replace")
        return b"%s%s],%s" % (text, b",".join(self._shown), jsontext.dumps(facts)[1:].encode())
