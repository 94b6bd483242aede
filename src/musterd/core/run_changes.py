"""What a feed of all runs sends: snapshots of runs and of approvals that have changed."""

from dataclasses import dataclass

from musterd.core.run_summaries import SummarizedRun


@dataclass(frozen=True, slots=True)
class ApprovalSnapshot:
    """An approval as the feed shows it.

    :param root_id: the root run that waits.
    :param owner: the owner of the run.
    """

    id: str
    root_id: str
    owner: str | None
    status: str
    created_at: float


@dataclass(slots=True)
class Change:
    """A run or an approval as it is now. Exactly one of the two is set.

    :param position: a time before the change: a reader that goes on from there gets it again, and all later ones.
    :param frame: the message as it is sent; made by the first reader that needs it, for all.
    """

    position: float
    run: SummarizedRun | None = None
    approval: ApprovalSnapshot | None = None
    frame: bytes | None = None

    @property
    def key(self) -> str:
        """What changed. A later change with the same key replaces this one."""
        return f"run {self.run.run_id}" if self.run is not None else f"approval {self._approval.id}"

    @property
    def owner(self) -> str | None:
        """Whose run it is about."""
        return self.run.owner if self.run is not None else self._approval.owner

    @property
    def _approval(self) -> ApprovalSnapshot:
        assert self.approval is not None
        return self.approval
