import { ArrowLeft, Inbox as InboxIcon } from "lucide-react";
import { useCallback, useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { useConnection } from "../api/feed";
import { serverNow } from "../api/serverClock";
import { useRedirect } from "../app/hashLocation";
import { usePageTitle } from "../app/pageTitle";
import { useKeys } from "../shared/keyboard";
import type { PagedList } from "../shared/NextPage";
import { Banner, EmptyState, Unread, UnreadPage } from "../shared/PageStates";
import { useIsPhone } from "../shared/useIsPhone";
import { useNow } from "../shared/useNow";
import { ApprovalList } from "./ApprovalList";
import { ApprovalView, placeOf } from "./ApprovalView";
import type { Approval } from "./approval";
import { type Inbox, neighbour, nextPending, toInbox } from "./inbox";
import { useApproval, useInboxPages } from "./queries";
import { tickSeconds } from "./question/deadline";

export default function ApprovalsPage({ approvalId }: { approvalId: string | null }) {
  usePageTitle("Approvals");
  const { pending, recent } = useInboxPages();
  const isPhone = useIsPhone();
  const listed = pending.data?.pages.flatMap((page) => page.data) ?? [];
  const rough = useNow(true, tickSeconds(listed, serverNow()));
  const error = pending.error ?? recent.error;
  if (pending.data === undefined || recent.data === undefined) {
    const retry = () => {
      void pending.refetch();
      void recent.refetch();
    };
    return <UnreadPage title="Approvals" error={error} onRetry={retry} />;
  }
  const { hasNextPage } = pending;
  const inbox = toInbox(listed, recent.data.data, rough, hasNextPage);
  return (
    <InboxPanes
      inbox={inbox}
      count={hasNextPage ? (pending.data.pages.at(-1)?.meta.total_count ?? 0) : inbox.pending.length}
      pending={pending}
      now={rough}
      approvalId={approvalId}
      isPhone={isPhone}
    />
  );
}

interface InboxPanesProps {
  inbox: Inbox;
  /** Of all that wait, also those that are not listed yet. */
  count: number;
  pending: PagedList;
  now: number;
  approvalId: string | null;
  isPhone: boolean;
}

function InboxPanes({ inbox, count, pending, now, approvalId, isPhone }: InboxPanesProps) {
  const listed = [...inbox.pending, ...inbox.decided];
  // Beside the list the first question is open; on a phone the list comes first. The place names the question, so that
  // it stays open when the list changes: a key or a click must not decide about the next one.
  const firstId = isPhone ? undefined : inbox.pending[0]?.id;
  const shownId = approvalId ?? (isPhone ? undefined : listed[0]?.id);
  const known = listed.find((approval) => approval.id === shownId);
  const single = useApproval(shownId !== undefined && known === undefined ? shownId : undefined);
  const shown = known ?? single.data;
  const [, navigate] = useLocation();
  const open = useCallback((approval: Approval | undefined) => approval && navigate(placeOf(approval.id)), [navigate]);
  useRedirect("/approvals", approvalId === null && firstId !== undefined ? placeOf(firstId) : null);
  const next = nextPending(inbox.pending, shownId);
  const stoodAt = usePendingIndex(inbox, shownId);
  useKeys("Approvals", [
    { keys: "j", label: "Next in the list", run: () => open(neighbour(inbox, shownId, 1, stoodAt())) },
    { keys: "k", label: "Previous in the list", run: () => open(neighbour(inbox, shownId, -1, stoodAt())) },
    { keys: "u", label: "Next undecided question", run: () => open(next), isDisabled: next === undefined },
    { keys: "Escape", label: "Back to the list", run: () => navigate("/approvals"), isDisabled: !isPhone },
  ]);
  const hasList = !isPhone || shownId === undefined;
  return (
    <div className="panes">
      {hasList ? (
        <nav className="pane-list" aria-label="Approvals">
          <div className="pane-list-head">
            <h1>Approvals</h1>
          </div>
          <ApprovalList inbox={inbox} count={count} pending={pending} now={now} currentId={shownId} />
        </nav>
      ) : null}
      {isPhone && shownId === undefined ? null : (
        <section className="pane-main" aria-label="Selected approval">
          {isPhone ? (
            <>
              <h1 className="sr-only">Approvals</h1>
              <BackLink inbox={inbox} count={count} id={shownId} />
            </>
          ) : null}
          <ConnectionBanner />
          <Selected shown={shown} single={single} shownId={shownId} next={next} />
        </section>
      )}
    </div>
  );
}

/** The index that the open question has or had among those that wait; null: it was decided before it was opened. */
function usePendingIndex(inbox: Inbox, id: string | undefined): () => number | null {
  const last = useRef<{ id: string | undefined; index: number | null }>({ id: undefined, index: null });
  const index = inbox.pending.findIndex((approval) => approval.id === id);
  useEffect(() => {
    if (index >= 0) last.current = { id, index };
    else if (last.current.id !== id) last.current = { id, index: null };
  }, [id, index]);
  return () => last.current.index;
}

interface SelectedProps {
  shown: Approval | undefined;
  single: ReturnType<typeof useApproval>;
  shownId: string | undefined;
  next: Approval | undefined;
}

function Selected({ shown, single, shownId, next }: SelectedProps) {
  if (shown !== undefined) return <ApprovalView key={shown.id} approval={shown} next={next} />;
  if (shownId !== undefined) return <Unread error={single.error} onRetry={() => void single.refetch()} />;
  return (
    <EmptyState icon={InboxIcon} title="Nothing needs you">
      Questions for a person show up here, and in the title of this tab.
    </EmptyState>
  );
}

function BackLink({ inbox, count, id }: { inbox: Inbox; count: number; id: string | undefined }) {
  const index = inbox.pending.findIndex((approval) => approval.id === id);
  return (
    <Link href="/approvals" className="back-link only-phone">
      <ArrowLeft className="icon-small" aria-hidden="true" />
      Approvals{index < 0 ? "" : `, ${index + 1} of ${count}`}
    </Link>
  );
}

/** While the connection is lost, what is shown may be decided already. */
function ConnectionBanner() {
  const { name } = useConnection();
  if (name !== "reconnecting") return null;
  return (
    <div className="mb-4">
      <Banner tone="wait">Not connected. Questions that others decide meanwhile still look undecided here.</Banner>
    </div>
  );
}
