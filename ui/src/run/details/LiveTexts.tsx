import { useSyncExternalStore } from "react";
import type { Entry, RunFeed } from "../live/feed";
import type { Span } from "../spans";
import { TextSection } from "./TextSection";

/** The texts of a step that is not stored yet, as its events tell them. */
export function LiveTexts({ feed, span }: { feed: RunFeed; span: Span }) {
  useSyncExternalStore(feed.subscribe, feed.getVersion);
  const entry = feed.threads.get(span.runId)?.entries.find((one) => `event ${one.index}` === span.id);
  return entry === undefined ? null : <EntryTexts entry={entry} />;
}

function EntryTexts({ entry }: { entry: Entry }) {
  switch (entry.kind) {
    case "tool":
      return (
        <>
          <TextSection title="Arguments" value={entry.args} />
          {entry.progress.length > 0 ? <TextSection title="Progress" value={entry.progress.join("\n")} /> : null}
          {entry.result === null ? null : <TextSection title="Result" value={entry.result} />}
        </>
      );
    case "model":
      return entry.text === "" ? null : (
        <section>
          <h3>{entry.endedAt === null ? "Written so far" : "Answer"}</h3>
          <p className="prose whitespace-pre-wrap">{entry.text}</p>
        </section>
      );
    default:
      return null;
  }
}
