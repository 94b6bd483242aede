import { cleanup, render } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { formatTime } from "../../shared/format";
import { START } from "../fixtures";
import { RunFeed } from "../live/feed";
import { EntryView } from "./EntryView";

afterEach(cleanup);

test("a text has the time at which it began, and how long it took", () => {
  const feed = new RunFeed("r1");
  const event = (index: number, name: string, at: number) =>
    ({
      event: name,
      event_index: index,
      created_at: 0,
      at: START + at,
      run_id: "r1",
      model: "m",
      content: "Hello",
    }) as const;
  feed.apply([event(0, "ModelRequestStarted", 1), event(1, "RunContent", 8), event(2, "ModelRequestCompleted", 61)]);
  const [call] = feed.threads.get("r1")?.entries ?? [];
  if (call === undefined) throw new Error("no call");
  const { container } = render(<EntryView entry={call} isTimed members={new Map()} calls={new Map()} />);
  const times = [...container.querySelectorAll("time")].map((time) => time.dateTime);
  expect(times).toEqual([new Date((START + 1) * 1000).toISOString()]);
  expect(container.textContent).toContain(`${formatTime(START + 1, undefined, true)} · 1\u202fm\u00a000\u202fs`);
});
