"""A run as a client refers to it."""

from dataclasses import dataclass

from musterd.core.callers import Caller
from musterd.declare import BaseComponent


@dataclass(frozen=True, slots=True)
class RunRef:
    """A run that a caller names. Services resolve it, and raise NotFound unless the caller may see the run.

    :param component: the component under which the run is requested.
    :param run_id: a run of the component, or a member's run in one.
    :param session_id: the session that the run must be in; None: any.
    """

    component: BaseComponent
    run_id: str
    session_id: str | None
    caller: Caller

    @property
    def key_parts(self) -> tuple[str, str, str]:
        """Texts that tell the run apart, for the fingerprint of a request about it."""
        return self.component.kind, self.component.id, self.run_id
