import { cleanup, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import { useApprovalChanges } from "../api/approvalChanges";
import { startFeed } from "../api/feed";
import { CHECK_IN, DEPLOY } from "./fixtures";
import { useInboxPages, useRunApprovals } from "./queries";
import { fakeServer, renderPage, type SentRequest } from "./testing";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

/** A server with a feed of changes. */
function serve() {
  const requests: string[] = [];
  let feed: ReadableStreamDefaultController<Uint8Array> | undefined;
  vi.stubGlobal("fetch", async (request: Request | string) => {
    const url = new URL(request instanceof Request ? request.url : request, window.location.href);
    if (url.pathname.endsWith("/runs/changes")) {
      const start = (controller: ReadableStreamDefaultController<Uint8Array>) => {
        feed = controller;
      };
      return new Response(new ReadableStream({ start }));
    }
    requests.push(url.searchParams.get("run_id") ?? url.searchParams.get("status") ?? "all");
    return new Response(JSON.stringify({ data: [], meta: { page: 1, total_pages: 1 } }));
  });
  const tell = (runId: string) => {
    const approval = { id: "ap-1", run_id: runId, status: "pending", created_at: 1 };
    feed?.enqueue(new TextEncoder().encode(`event: approval\ndata: ${JSON.stringify(approval)}\n\n`));
  };
  return { requests, tell };
}

function OfRun({ runId }: { runId: string }) {
  return <p>{useRunApprovals(runId).isSuccess ? "read" : "reads"}</p>;
}

function Everything() {
  useApprovalChanges();
  useInboxPages();
  return (
    <>
      <OfRun runId="r1" />
      <OfRun runId="r1" />
      <OfRun runId="r2" />
      <OfRun runId="r3" />
    </>
  );
}

it("reads the approvals of a run once after its changes, and not those of other runs", async () => {
  const { requests, tell } = serve();
  const stop = startFeed();
  renderPage(<Everything />);
  await waitFor(() => expect(screen.getAllByText("read")).toHaveLength(4));
  requests.length = 0;
  tell("r1");
  tell("r1");
  await waitFor(() => expect(requests).toContain("r1"));
  await new Promise((resolve) => setTimeout(resolve, 100)); // further requests would follow at once
  expect(requests.sort()).toEqual(["all", "pending", "r1"]);
  stop();
});

function Decided() {
  const decided = useInboxPages().recent.data?.data.filter(({ status }) => status !== "pending");
  return <p>{decided?.map(({ id }) => id).join(", ")}</p>;
}

it("reads decisions though more questions have come since than a page has", async () => {
  const waiting = Array.from({ length: 50 }, (_, index) => ({ ...CHECK_IN, id: `ap-${index}` }));
  fakeServer({
    "GET /approvals": ({ query }: SentRequest) => {
      const status = query.get("status");
      const decided = status === "approved" ? [{ ...DEPLOY, status }] : [];
      const data = status === null || status === "pending" ? waiting : decided;
      return { body: { data, meta: { page: 1, limit: 50, total_pages: 1, total_count: data.length } } };
    },
  });
  renderPage(<Decided />);
  await screen.findByText(DEPLOY.id);
});
