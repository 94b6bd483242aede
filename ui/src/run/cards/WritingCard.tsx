import { useContext, useSyncExternalStore } from "react";
import { Duration } from "../../shared/Figures";
import { Dot } from "../../shared/Status";
import { StoppedClock } from "../../shared/useNow";
import { Caret } from "../Caret";
import type { RunFeed, Thread } from "../live/feed";

/** The end of a long text is enough here; the transcript has all of it. */
const SHOWN_CHARACTERS = 1500;
const MOST_CARDS = 4;

/** A card for each member that writes at this moment. */
export function WritingCards({ feed }: { feed: RunFeed }) {
  useSyncExternalStore(feed.subscribe, feed.getVersion);
  const writing = [...feed.threads.values()].filter((thread) => (thread.openModel?.text ?? "") !== "");
  return (
    <>
      {writing.slice(0, MOST_CARDS).map((thread) => (
        <WritingCard key={thread.runId} thread={thread} />
      ))}
      {writing.length > MOST_CARDS ? (
        <p className="self-center text-ink-3">{`${writing.length - MOST_CARDS} more members are writing.`}</p>
      ) : null}
    </>
  );
}

function WritingCard({ thread }: { thread: Thread }) {
  const isStopped = useContext(StoppedClock) !== null;
  const call = thread.openModel;
  if (call === null) return null;
  const title = `${thread.name} ${isStopped ? "was" : "is"} writing`;
  const text = call.text.length > SHOWN_CHARACTERS ? `…${call.text.slice(-SHOWN_CHARACTERS)}` : call.text;
  return (
    <section className="panel writing-card" aria-label={title}>
      <div className="card-head">
        <Dot tone="run" />
        <h2 className="truncate">{title}</h2>
        <span className="numeric ml-auto text-meta font-normal text-ink-3">
          <Duration from={call.startedAt} to={null} />
        </span>
      </div>
      <div className="card-body">
        <div className="writing-tail">
          <p className="prose whitespace-pre-wrap">
            {text}
            <Caret />
          </p>
        </div>
      </div>
    </section>
  );
}
