import { ArrowLeft, Download, Ellipsis, GitFork, Info, Pencil, Trash2 } from "lucide-react";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import { useParams } from "../app/hashLocation";
import { Button } from "../shared/Button";
import { Menu, type MenuItem } from "../shared/Menu";
import { NextPage } from "../shared/NextPage";
import { Banner, EmptyState, Unread } from "../shared/PageStates";
import { useIsPhone } from "../shared/useIsPhone";
import { AboutDialog } from "./AboutDialog";
import { Composer } from "./Composer";
import { useLiveTexts } from "./liveText";
import { useConversation, useFork } from "./queries";
import { DeleteDialog, RenameDialog } from "./SessionDialogs";
import { ownerOf, type SessionDetail, type SessionItem, sessionFilterFrom, sessionPath } from "./session";
import { TurnView } from "./TurnView";
import { isUnfinished, isWriting, type Turn, toTurns } from "./turns";

export interface ConversationProps {
  session: SessionDetail;
  item: SessionItem | undefined;
}

/** The runs of a session as a conversation. */
export function Conversation({ session, item }: ConversationProps) {
  const { runs, figures } = useConversation(session.session_id);
  const turns = useMemo(() => {
    const pages = [...(runs.data?.pages ?? [])].reverse();
    return toTurns(pages.flat(), figures.data?.data ?? []);
  }, [runs.data, figures.data]);
  const texts = useLiveTexts(session.session_id, turns.some(isWriting));
  const error = runs.error ?? figures.error;
  const isLoading = runs.data === undefined || figures.data === undefined;
  const retry = () => {
    void runs.refetch();
    void figures.refetch();
  };
  return (
    <section className="conversation" aria-label="Conversation">
      <Head session={session} item={item} />
      <Scroll turns={turns}>
        {isLoading ? <Unread error={error} onRetry={retry} /> : null}
        <NextPage list={runs} label="Show earlier runs" />
        {!isLoading && turns.length === 0 ? (
          <EmptyState title="No runs yet">Start the first one below.</EmptyState>
        ) : null}
        {turns.map((turn) => (
          <TurnView key={turn.runId} turn={turn} texts={texts} />
        ))}
      </Scroll>
      <Composer session={session} isBusy={turns.some((turn) => isUnfinished(turn) && turn.status !== "PAUSED")} />
    </section>
  );
}

const ABOVE_QUESTION = 8;

/** The end, but no further than to the first open question: its sentence must be in view, not only its buttons. */
function pinnedTop(scroll: HTMLElement): number {
  const end = scroll.scrollHeight - scroll.clientHeight;
  const question = scroll.querySelector(".question-card");
  if (question === null) return end;
  const above = question.getBoundingClientRect().top - scroll.getBoundingClientRect().top;
  return Math.max(0, Math.min(end, scroll.scrollTop + above - ABOVE_QUESTION));
}

/** Keeps the end in view while the reader is there; elsewhere the text stays where it is. */
function Scroll({ turns, children }: { turns: readonly Turn[]; children: React.ReactNode }) {
  const element = useRef<HTMLElement>(null);
  const isAtEnd = useRef(true);
  const top = useRef(0);
  const first = turns[0]?.runId;
  const height = useRef(0);
  useLayoutEffect(() => {
    const scroll = element.current;
    if (scroll && !isAtEnd.current && first) scroll.scrollTop += scroll.scrollHeight - height.current;
    if (scroll) height.current = scroll.scrollHeight;
  }, [first]);
  useEffect(() => {
    const scroll = element.current;
    const content = scroll?.firstElementChild;
    if (!scroll || !content) return;
    const observer = new ResizeObserver(() => {
      if (isAtEnd.current) {
        scroll.scrollTop = pinnedTop(scroll);
        top.current = scroll.scrollTop; // this is not the reader who scrolls up
      }
      height.current = scroll.scrollHeight;
    });
    observer.observe(content);
    return () => observer.disconnect();
  }, []);
  return (
    <section
      ref={element}
      className="conversation-scroll"
      aria-label="Messages"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a part that scrolls must be reachable by keyboard
      tabIndex={0}
      onScroll={(event) => {
        // Text that arrives also moves the end away, so only scrolling up leaves it.
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        if (scrollHeight - scrollTop - clientHeight < 40) isAtEnd.current = true;
        else if (scrollTop < top.current) isAtEnd.current = false;
        top.current = scrollTop;
      }}
    >
      <div className="turns">{children}</div>
    </section>
  );
}

type Open = "rename" | "delete" | "about" | null;

function Head({ session, item }: ConversationProps) {
  const [open, setOpen] = useState<Open>(null);
  const [params] = useParams();
  const isPhone = useIsPhone();
  const owner = ownerOf(session);
  const fork = useFork(session.session_id);
  const onFork = () => owner && fork.mutate(owner);
  const close = () => setOpen(null);
  const items: MenuItem[] = [
    { label: "About this session", icon: <Info className="icon" />, onSelect: () => setOpen("about") },
    { label: "Save as JSON", icon: <Download className="icon" />, onSelect: () => saveJson(session) },
    { label: "Delete", icon: <Trash2 className="icon" />, onSelect: () => setOpen("delete"), isDanger: true },
  ];
  return (
    <>
      <div className="conversation-head">
        <Link
          href={sessionPath(null, sessionFilterFrom(params))}
          className="btn btn-quiet btn-icon only-phone"
          aria-label="All sessions"
        >
          <ArrowLeft className="icon" aria-hidden="true" />
        </Link>
        {isPhone ? (
          <h1 className="truncate">{title(session)}</h1>
        ) : (
          <h2 className="min-w-0 flex-1 truncate">{title(session)}</h2>
        )}
        <Button kind="quiet" isIcon aria-label="Rename" onClick={() => setOpen("rename")}>
          <Pencil className="icon" aria-hidden="true" />
        </Button>
        <Button kind="quiet" className="only-desk" disabled={fork.isPending || owner === null} onClick={onFork}>
          <GitFork className="icon" aria-hidden="true" />
          Fork
        </Button>
        <Menu label="More" icon={<Ellipsis className="icon" aria-hidden="true" />} items={items} isQuiet />
      </div>
      {fork.error ? (
        <div className="p-3" role="alert">
          <Banner tone="fail">{fork.error.message}</Banner>
        </div>
      ) : null}
      {open === "rename" ? <RenameDialog session={session} onClose={close} /> : null}
      {open === "delete" ? <DeleteDialog session={session} onClose={close} /> : null}
      {open === "about" ? <AboutDialog session={session} item={item} onClose={close} /> : null}
    </>
  );
}

function title(session: SessionDetail): string {
  return session.session_name || "Untitled";
}

function saveJson(session: SessionDetail): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(session, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `session-${session.session_id.replace(/[^\w.-]+/g, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
