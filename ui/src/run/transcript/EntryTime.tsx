import { Duration, Time } from "../../shared/Figures";
import type { Entry } from "../live/feed";

/** When something was said or happened: a text when it was complete, with how long it took. */
export function EntryTime({ entry }: { entry: Entry }) {
  switch (entry.kind) {
    case "model":
      return (
        <>
          {entry.endedAt === null ? null : (
            <>
              <Time at={entry.endedAt} />
              {" · "}
            </>
          )}
          <span className="numeric" title="From the start of the model call to the end of its answer">
            <Duration from={entry.startedAt} to={entry.endedAt} />
          </span>
        </>
      );
    case "note":
      return <Time at={entry.at} />;
    default:
      return <Time at={entry.startedAt} />;
  }
}
