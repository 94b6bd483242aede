import { cleanup, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { renderPage } from "../../approvals/testing";
import { busyRun, START } from "../fixtures";
import { RunFeed } from "../live/feed";
import type { RunDetail } from "../model/types";
import { toSpans } from "../spans";
import { StateBanners } from "./StateBanners";

afterEach(cleanup);

const nothing = () => undefined;

function show(changes: Partial<RunDetail>): void {
  const { run: busy, steps, events } = busyRun();
  const run = { ...busy, ...changes };
  const feed = new RunFeed(run.run_id);
  feed.apply(events);
  const spans = toSpans({ run, steps, feed });
  renderPage(<StateBanners run={run} stream={null} feed={feed} spans={spans} onContinue={nothing} onRerun={nothing} />);
}

const CANCEL = { requested_at: START + 42, by: "client" };

test("a run that is being cancelled names the calls that have not stopped", () => {
  show({ cancel: CANCEL });
  expect(screen.getByText(/^Cancelling\. What is running/)).toBeTruthy();
  expect(screen.getByText("gpt-5-mini, writing").nextSibling?.textContent).toBe("Shipping");
});

test("a run that was cancelled says what became of each step", () => {
  const step = (name: string, outcome: "stopped" | "finished") => {
    return { path: `t1/${name}`, kind: "tool" as const, name, outcome };
  };
  const steps = [step("track_parcel", "stopped"), step("get_order", "finished")];
  show({ status: "CANCELLED", ended_at: START + 43, cancel: { ...CANCEL, steps } });
  expect(screen.getByText(/^Cancelled/).textContent).toContain("Cancelled, stopped after 1.00");
  expect(screen.getByText("track_parcel").parentElement?.nextSibling?.textContent).toBe("stopped");
  expect(screen.getByText("get_order").parentElement?.nextSibling?.textContent).toBe("finished first");
});

test("a run that another process took over says so while it is at work", () => {
  show({});
  expect(screen.getByText(/^Attempt 2 since/)).toBeTruthy();
  cleanup();
  show({ status: "COMPLETED", ended_at: START + 60 });
  expect(screen.queryByText(/^Attempt 2 since/)).toBeNull();
});
