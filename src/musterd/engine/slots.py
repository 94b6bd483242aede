"""The slots of one process: how many runs it may drive at once."""


class Slots:
    """Counts the runs that are driven here, and the slots that are reserved for further runs.

    :param limit: how many runs may be driven at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.live = 0
        self.reserved = 0
        # True at first: runs of an earlier process may be ready, and the first claim has not looked for them yet.
        self.has_backlog = True
        """Whether runs may be ready that found no free slot. Until none is left, new runs must wait with them."""
        self.is_for_suspects = False
        """Whether only suspects may be begun now."""

    @property
    def free(self) -> int:
        """How many of the unused slots a run that is not a suspect may get."""
        return 0 if self.is_for_suspects else self.unused

    @property
    def unused(self) -> int:
        """How many slots no run has or is about to get."""
        return self._limit - self.live - self.reserved

    @property
    def is_idle(self) -> bool:
        """Whether no run is driven and no slot is reserved."""
        return self.live == 0 and self.reserved == 0

    def reserve(self) -> bool:
        """Reserve a slot for a run that is about to be accepted, if no ready run has waited longer for one."""
        if self.has_backlog or self.free <= 0:
            return False
        self.reserved += 1
        return True

    def unreserve(self) -> None:
        """Give a reserved slot back."""
        self.reserved -= 1
