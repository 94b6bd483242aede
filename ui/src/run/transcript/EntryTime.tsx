import { Duration, Time } from "../../shared/Figures";
import type { Entry } from "../live/feed";

/** When something began, which is the order of the rows; of a text also how long it took. */
export function EntryTime({ entry }: { entry: Entry }) {
  switch (entry.kind) {
    case "model":
      return (
        <>
          <Time at={entry.startedAt} hasSeconds />
          {" · "}
          <span className="numeric" title="From the start of the model call to the end of its answer">
            <Duration from={entry.startedAt} to={entry.endedAt} />
          </span>
        </>
      );
    case "note":
      return <Time at={entry.at} hasSeconds />;
    default:
      return <Time at={entry.startedAt} hasSeconds />;
  }
}
