"""Acts on changes by other processes that concern this one.

A cancel that another process stored must reach the attempt, a run that became ready must be claimed, and subscribers
and waiters must learn of runs that another process drives, or accepts in their session. The bus says when to look.
"""

from collections.abc import Collection, Mapping, Set
from dataclasses import replace
from typing import Protocol

from musterd.core import clock
from musterd.core.events import END_EVENTS
from musterd.core.states import RunState
from musterd.engine.attempt import Attempt
from musterd.engine.broadcaster import Broadcaster, Flush, Subscription
from musterd.store import probes
from musterd.store.database import Database, Tx
from musterd.store.events import StoredFlush, decoded
from musterd.store.probes import RunSnapshot, SessionSnapshot


class LocalAttempts(Protocol):
    """The attempts of this process; implemented by its worker."""

    def live_attempts(self) -> Mapping[str, Attempt]:
        """The attempts that this process drives, by root run id."""
        ...

    def claimable_components(self) -> list[str]:
        """The components whose runs can be claimed now."""
        ...

    def lease_lost(self, attempt: Attempt) -> None:
        """Stop this attempt, if it is still driven: another attempt owns its run now, or the run has ended."""

    def wake(self) -> None:
        """Look for ready runs soon."""


class ChangedRows:
    """Reads the rows that concern this process, and passes on their changes."""

    def __init__(self, database: Database, broadcaster: Broadcaster, local: LocalAttempts) -> None:
        self._database = database
        self._broadcaster = broadcaster
        self._local = local
        self._seen: dict[str, RunSnapshot] = {}
        """The state of awaited runs at the last look."""
        self._seen_sessions: dict[str, SessionSnapshot | None] = {}
        """The state of watched sessions at the last look; None if there was no such session."""

    async def read(self, run_ids: Collection[str] | None = None) -> None:
        """Act on changes by other processes.

        :param run_ids: the runs that may have changed. By default, any run and session may have changed, and a run may
            have become ready.
        """
        live = self._local.live_attempts()
        # Runs that this process drives are left out: their subscribers get each flush from the outbox.
        awaited = self._broadcaster.awaited_runs() - live.keys()
        components = self._local.claimable_components()
        sessions = self._broadcaster.watched_sessions()
        self._seen = {root_id: self._seen[root_id] for root_id in awaited & self._seen.keys()}
        if run_ids is not None:
            live = {root_id: live[root_id] for root_id in run_ids if root_id in live}
            awaited, components, sessions = awaited.intersection(run_ids), [], set()
        if not (live or awaited or components or sessions):
            return
        # Before the read: a subscriber may wait for a run that is accepted during the read and missing in its answer.
        accepted = self._broadcaster.accepted_subscriptions(awaited)

        async def work(tx: Tx) -> tuple[dict[str, RunSnapshot], dict[str, SessionSnapshot], bool]:
            # Read without locks, so this is only a hint: the fence and the claims decide again in their transactions.
            snapshots = await probes.snapshots(tx, [*live, *awaited]) if live or awaited else {}
            of_sessions = await probes.session_snapshots(tx, sessions) if sessions else {}
            return snapshots, of_sessions, await probes.is_ready(tx, components, clock.now())

        snapshots, of_sessions, is_ready = await self._database.read(work)
        if run_ids is None:
            self._notify_watches({session_id: of_sessions.get(session_id) for session_id in sessions})
        for root_id, attempt in live.items():
            self._update_attempt(attempt, snapshots.get(root_id))
        self._notify_subscribers(awaited, snapshots, accepted)
        if is_ready:
            self._local.wake()

    def _notify_watches(self, sessions: dict[str, SessionSnapshot | None]) -> None:
        """Notify the watches of sessions that have changed since the last look, or that are seen for the first time."""
        before, self._seen_sessions = self._seen_sessions, sessions
        for session_id, snapshot in sessions.items():
            if session_id not in before or before[session_id] != snapshot:
                self._broadcaster.mark_session_changed(session_id)

    def events_received(self, root_id: str, stored: StoredFlush) -> bool:
        """Pass on events that another process has stored and sent. They may come late, twice or out of order.

        :return: False if the run's row has to be read.
        """
        snapshot = self._seen.get(root_id)
        # Another salt: the run was deleted, and its id was used again. The row says which of the two is awaited here.
        if snapshot is None or snapshot.salt != stored.salt:
            return False
        flushes = [Flush(*part) for part in decoded(stored.first_index, stored.text, stored.first_index - 1)]
        if not flushes:  # a newer version of musterd stored events of unknown kinds
            return False
        # If an earlier message was lost, subscribers see the gap before these events, and read the store.
        for flush in flushes:
            self._broadcaster.push(root_id, flush)
        if stored.first_index > snapshot.next_event:
            return False  # waiters see no gap: the row must be news for them, because a member may have ended in it
        # A later look must not report these events as new.
        next_event = max(snapshot.next_event, flushes[-1].next_index)
        self._seen[root_id] = replace(snapshot, next_event=next_event)
        return not any(event.run_id == root_id and event.kind in END_EVENTS for event in flushes[-1].events)

    def _notify_subscribers(
        self, awaited: Set[str], snapshots: Mapping[str, RunSnapshot], accepted: Set[Subscription]
    ) -> None:
        """Make subscribers read the store if it has new events, and wake waiters whose run has settled or is gone.

        :param accepted: the subscriptions whose runs were stored before the read.
        """
        for root_id in awaited:
            snapshot, last = snapshots.get(root_id), self._seen.pop(root_id, None)
            # Another salt: the run was deleted, and a new run has its id.
            if snapshot is None or (last is not None and last.salt != snapshot.salt):
                self._broadcaster.run_removed(root_id, accepted)
                continue
            # Events that arrived during the read may be newer than the row.
            is_news = last is None or last.next_event < snapshot.next_event
            self._seen[root_id] = snapshot if is_news or last is None else replace(snapshot, next_event=last.next_event)
            if is_news:
                self._broadcaster.make_subscribers_read_store(root_id)
            if snapshot.state.is_settled:
                self._broadcaster.wake_waiters(root_id)

    def _update_attempt(self, attempt: Attempt, snapshot: RunSnapshot | None) -> None:
        """Stop an attempt that lost its run or is to be cancelled, or pass new signals on to it."""
        is_over = snapshot is None or (snapshot.state.is_settled and snapshot.attempt == attempt.number)
        if is_over and attempt.outbox.is_settling:
            # The attempt has stored this end, and is about to report it (the run may be deleted since). Or another
            # process has ended the run, and the attempt's transaction is about to be refused.
            return
        if snapshot is None or snapshot.attempt != attempt.number or snapshot.state is not RunState.RUNNING:
            # Reassigned, or ended by the process that took it over while this one stood still. The fence refuses the
            # attempt's writes anyway; this also stops its model and tool calls.
            # Passed by itself and not by its run's id: during the read this process may have claimed the run again,
            # and the newer attempt owns it.
            self._local.lease_lost(attempt)
        elif snapshot.is_to_be_cancelled:
            attempt.cancel()
        else:
            attempt.signalled(snapshot.signals)
