import { Inbox as InboxIcon } from "lucide-react";
import { useEffect, useRef } from "react";
import { Link } from "wouter";
import { Time } from "../shared/Figures";
import { NextPage, type PagedList } from "../shared/NextPage";
import { EmptyState } from "../shared/PageStates";
import { type Approval, callerWithTeam, decidedArgumentsOf, replacedValues, toolOf } from "./approval";
import { closedAt, type Inbox } from "./inbox";
import { OnlyHere } from "./OnlyHere";
import { isSoon, leftText } from "./question/deadline";
import { argumentLine, outcomeOf, reasonOf } from "./question/wording";

export interface ApprovalListProps {
  inbox: Inbox;
  /** How many wait, also those that are not listed yet. */
  count: number;
  /** The pages of what waits. */
  pending: PagedList;
  now: number;
  currentId: string | undefined;
}

/** What needs a decision, soonest expiry first, and what was decided in the last 24 hours. */
export function ApprovalList({ inbox, count, pending, now, currentId }: ApprovalListProps) {
  return (
    <>
      <h2 className="list-group">Needs you · {count}</h2>
      {inbox.pending.length === 0 ? (
        <EmptyState icon={InboxIcon} title="Nothing needs you">
          Questions for a person show up here.
        </EmptyState>
      ) : null}
      <ul>
        {inbox.pending.map((approval) => (
          <Item key={approval.id} approval={approval} isCurrent={approval.id === currentId}>
            <span className={isSoon(approval, now) ? "item-end item-soon" : "item-end"}>{leftText(approval, now)}</span>
          </Item>
        ))}
      </ul>
      <NextPage list={pending} label="Show more questions" />
      <h2 className="list-group">
        Decided in the last 24 hours · {inbox.decided.length}
        {inbox.hasMoreDecided ? "+" : ""}
      </h2>
      {inbox.decided.length === 0 ? (
        <p className="px-5 py-3 text-ink-3">Decisions and expired questions are listed here for 24 hours.</p>
      ) : null}
      <ul>
        {inbox.decided.map((approval) => (
          <Item key={approval.id} approval={approval} isCurrent={approval.id === currentId}>
            <span className="item-end">
              <Time at={closedAt(approval, now)} />
            </span>
          </Item>
        ))}
      </ul>
    </>
  );
}

interface ItemProps {
  approval: Approval;
  isCurrent: boolean;
  children: React.ReactNode;
}

function Item({ approval, isCurrent, children }: ItemProps) {
  const link = useRef<HTMLAnchorElement>(null);
  // Keys select it too, while it is scrolled out of sight.
  useEffect(() => {
    if (isCurrent) link.current?.scrollIntoView?.({ block: "nearest" });
  }, [isCurrent]);
  const reason = approval.status === "pending" ? reasonOf(approval) : outcomeOf(approval);
  const line = argumentLine(decidedArgumentsOf(approval), replacedValues(approval));
  return (
    <li>
      <Link
        ref={link}
        href={`/approvals/${encodeURIComponent(approval.id)}`}
        className="list-item"
        aria-current={isCurrent ? "true" : undefined}
      >
        <span className="item-line">
          <b className="mono truncate font-semibold">{toolOf(approval)}</b>
          <OnlyHere approval={approval} />
          {children}
        </span>
        {line ? <span className="block truncate text-ink-2">{line}</span> : null}
        <span className="item-meta truncate">
          {callerWithTeam(approval)} · {reason}
        </span>
      </Link>
    </li>
  );
}
