import { Pencil, Trash2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { Button } from "../shared/Button";
import { CodeBlock } from "../shared/CodeBlock";
import { Cost, Time } from "../shared/Figures";
import { costOfTokens, formatCount } from "../shared/format";
import { componentPath } from "../teams/component";
import { DeleteDialog, StateDialog } from "./SessionDialogs";
import { metricsOf, ownerOf, type SessionDetail, type SessionItem, unixTime } from "./session";
import { tokensByModel } from "./tokens";

export interface SessionSideProps {
  session: SessionDetail;
  item: SessionItem | undefined;
}

const OWNER_KIND = { team: "Team", agent: "Agent", workflow: "Workflow" };

/** Facts, tokens and state of a session. */
export function SessionSide({ session, item }: SessionSideProps) {
  const [open, setOpen] = useState<"state" | "delete" | null>(null);
  const state = session.session_state ?? {};
  const hasState = Object.keys(state).length > 0;
  const owner = ownerOf(session);
  // Like the cost, those of the list include runs at work.
  const tokens = item?.total_tokens ?? session.total_tokens ?? metricsOf(session).total_tokens ?? 0;
  const cost = item && costOfTokens(item.total_cost, tokens);
  return (
    <>
      <section>
        <h2>Session</h2>
        <dl className="kv">
          <dt>Id</dt>
          <dd>
            <code>{session.session_id}</code>
          </dd>
          {session.user_id ? <Fact name="User" value={session.user_id} /> : null}
          {owner ? (
            <>
              <dt>{OWNER_KIND[owner.kind]}</dt>
              <dd>
                <Link href={componentPath(owner.kind, owner.id)} className="text-link">
                  {item?.component_name ?? owner.id}
                </Link>
              </dd>
            </>
          ) : null}
          {item?.run_count ? <Fact name="Runs" value={formatCount(item.run_count)} /> : null}
          <dt>Created</dt>
          <dd>
            <Time at={unixTime(session.created_at)} />
          </dd>
          {session.forked_from_session_id ? (
            <>
              <dt>Forked from</dt>
              <dd>
                <Link href={`/sessions/${encodeURIComponent(session.forked_from_session_id)}`} className="text-link">
                  {session.forked_from_session_id}
                </Link>
              </dd>
            </>
          ) : null}
        </dl>
      </section>
      <section>
        <h2>Usage</h2>
        <dl className="kv">
          <dt>Tokens</dt>
          <dd className="text-right">{formatCount(tokens)}</dd>
          {cost === undefined ? null : (
            <>
              <dt>Cost</dt>
              <dd className="text-right">
                <Cost cost={cost} />
              </dd>
            </>
          )}
          {tokensByModel(session).map(([model, tokens]) => (
            <TokensOf key={model} model={model} tokens={tokens} />
          ))}
        </dl>
      </section>
      {session.session_summary?.summary ? (
        <section>
          <h2>Summary</h2>
          <p className="whitespace-pre-wrap text-ink-2">{session.session_summary.summary}</p>
        </section>
      ) : null}
      <section>
        <div className="mb-2 flex items-center">
          <h2 className="mb-0!">State</h2>
          <Button kind="quiet" isIcon className="ml-auto" aria-label="Edit state" onClick={() => setOpen("state")}>
            <Pencil className="icon-small" aria-hidden="true" />
          </Button>
        </div>
        {hasState ? (
          <CodeBlock value={state} label="State" />
        ) : (
          <p className="text-ink-3">The state is empty. Tools and members can write to it.</p>
        )}
      </section>
      <section>
        <Button kind="quiet" className="btn-danger -ml-2" onClick={() => setOpen("delete")}>
          <Trash2 className="icon" aria-hidden="true" />
          Delete session…
        </Button>
      </section>
      {open === "state" ? <StateDialog session={session} onClose={() => setOpen(null)} /> : null}
      {open === "delete" ? <DeleteDialog session={session} onClose={() => setOpen(null)} /> : null}
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </>
  );
}

function TokensOf({ model, tokens }: { model: string; tokens: number }) {
  return (
    <>
      <dt>
        <code>{model}</code>
      </dt>
      <dd className="text-right">{formatCount(tokens)}</dd>
    </>
  );
}
