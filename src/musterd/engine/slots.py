"""The slots of one process: how many runs it may drive at once."""


class Slots:
    """Counts what is driven here and what was promised a place.

    :param limit: runs that are driven at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.live = 0
        self.reserved = 0
        self.has_backlog = True
        """Whether runs may be ready that found no slot: new ones must wait behind them."""
        self.is_for_suspects = False
        """Whether nothing but suspects may be begun now."""

    @property
    def free(self) -> int:
        """How many more runs may be begun that are no suspects."""
        return 0 if self.is_for_suspects else self.room

    @property
    def room(self) -> int:
        """How many more runs may be begun."""
        return self._limit - self.live - self.reserved

    @property
    def is_idle(self) -> bool:
        """Whether nothing is driven and nothing was promised a place."""
        return self.live == 0 and self.reserved == 0

    def reserve(self) -> bool:
        """Promise a place to a run that is about to be accepted, where none waits for it longer."""
        if self.has_backlog or self.free <= 0:
            return False
        self.reserved += 1
        return True

    def unreserve(self) -> None:
        """Take a promise back."""
        self.reserved -= 1
