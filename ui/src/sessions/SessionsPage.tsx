import { MessagesSquare } from "lucide-react";
import { useLocation } from "wouter";
import { useParams, useRedirect } from "../app/hashLocation";
import { usePageTitle } from "../app/pageTitle";
import { useKeys } from "../shared/keyboard";
import { EmptyState, Unread } from "../shared/PageStates";
import { useIsPhone } from "../shared/useIsPhone";
import { useSettled } from "../shared/useSettled";
import { Conversation } from "./Conversation";
import { itemsOf, useSession, useSessionList } from "./queries";
import { SessionList } from "./SessionList";
import { SessionSide } from "./SessionSide";
import { type SessionItem, sessionFilterFrom, sessionPath } from "./session";

export default function SessionsPage({ sessionId }: { sessionId: string | null }) {
  usePageTitle("Sessions");
  const [params, setParams] = useParams();
  const [, navigate] = useLocation();
  const filter = sessionFilterFrom(params);
  const text = useSettled(filter.text);
  const isPhone = useIsPhone();
  const list = useSessionList({ ...filter, text });
  const sessions = itemsOf(list.data?.pages);
  const shownId = sessionId ?? undefined;
  // The place names the first session once it is known: the list goes on changing, and what is shown must not.
  const firstId = sessionId === null && !isPhone && !list.isFetching ? sessions[0]?.session_id : undefined;
  useRedirect("/sessions", firstId === undefined ? null : sessionPath(firstId, filter));
  const session = useSession(shownId);
  const item = sessions.find((one) => one.session_id === shownId);
  const move = (step: 1 | -1) => {
    const index = sessions.findIndex((item) => item.session_id === shownId);
    const next = sessions[index + step];
    if (next) navigate(sessionPath(next.session_id, filter));
  };
  useKeys("Sessions", [
    { keys: "j", label: "Next in the list", run: () => move(1) },
    { keys: "k", label: "Previous in the list", run: () => move(-1) },
    { keys: "/", label: "Find a session", run: () => document.getElementById("find-session")?.focus() },
  ]);
  return (
    <div className="panes panes-session">
      {isPhone && shownId !== undefined ? null : (
        <nav className="pane-list" aria-label="Sessions">
          <SessionList
            list={list}
            sessions={sessions}
            filter={filter}
            onFilter={(changes) => setParams(changes, { replace: true })}
            currentId={shownId}
          />
        </nav>
      )}
      {isPhone && shownId === undefined ? null : (
        <Pane
          key={shownId}
          id={shownId}
          session={session}
          item={item}
          list={list}
          isFiltered={filter.text !== "" || filter.status !== null}
        />
      )}
      {shownId !== undefined && session.data !== undefined ? (
        <aside className="session-side" aria-label="About this session">
          <SessionSide session={session.data} item={item} />
        </aside>
      ) : null}
    </div>
  );
}

interface PaneProps {
  id: string | undefined;
  session: ReturnType<typeof useSession>;
  item: SessionItem | undefined;
  list: ReturnType<typeof useSessionList>;
  isFiltered: boolean;
}

function Pane({ id, session, item, list, isFiltered }: PaneProps) {
  if (id !== undefined && session.data !== undefined) return <Conversation session={session.data} item={item} />;
  return (
    <section className="pane-main" aria-label="Conversation">
      {id !== undefined || list.isPending || list.data?.pages[0]?.data.length ? (
        <Unread error={session.error} onRetry={() => void session.refetch()} />
      ) : list.isSuccess ? (
        <EmptyState icon={MessagesSquare} title="No session to show">
          {isFiltered ? "No session matches the filter." : "A session begins with its first run."}
        </EmptyState>
      ) : null}
    </section>
  );
}
