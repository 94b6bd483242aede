import { cleanup, fireEvent, screen, waitFor } from "@testing-library/preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import { useHashLocation } from "../app/hashLocation";
import ApprovalsPage from "./ApprovalsPage";
import type { Approval } from "./approval";
import { CHECK_IN, DEPLOY, NEWSLETTER, QUESTIONS, REFUND } from "./fixtures";
import { type Answers, fakeServer, press, renderPage, type SentRequest } from "./testing";

const SOON = Date.now() / 1000 + 3600;

function pageOf(...approvals: Approval[]) {
  return { data: approvals, meta: { page: 1, limit: 200, total_pages: 1, total_count: approvals.length } };
}

function show(approval: Approval, answers: Answers = {}) {
  const shown = { ...approval, expires_at: SOON };
  const requests = fakeServer({
    "GET /approvals": (request: { query: URLSearchParams }) => ({
      body: request.query.get("status") === "pending" ? pageOf(shown) : pageOf(shown),
    }),
    [`GET /runs/${approval.run_id}`]: { input: "Where is my order 4417?" },
    ...answers,
  });
  renderPage(<ApprovalsPage approvalId={approval.id} />, `#/approvals/${approval.id}`);
  return requests;
}

function Routed() {
  const id = useHashLocation()[0].split("/")[2];
  return <ApprovalsPage approvalId={id ?? null} />;
}

const sentDecision = (requests: { path: string; body: unknown }[]) =>
  requests.find((request) => request.path.endsWith("/resolve"))?.body;

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("the approvals page", () => {
  it("shows the question, its arguments, the background and the deadline", async () => {
    show(REFUND);
    expect(await screen.findByText("Pay money back to the card that paid.")).toBeTruthy();
    expect(screen.getByText("amount_eur")).toBeTruthy();
    expect(screen.getByText(/^Without a decision, the call is rejected (at|on) .*\d\d:\d\d, in /)).toBeTruthy();
    expect(await screen.findByText("Where is my order 4417?")).toBeTruthy();
    const link = screen.getByText("Open the run at this step");
    expect(link.getAttribute("href")).toBe("#/runs/run-1?step=t0%2Fc1%2Ft0%2Fc0");
  });

  it("approves with a", async () => {
    const requests = show(REFUND, {
      "POST /approvals/ap-refund/resolve": { ...REFUND, status: "approved", resolved_by: "Ida", resolved_at: 1 },
    });
    await screen.findByText("Approve");
    await press("a");
    await waitFor(() => expect(sentDecision(requests)).toEqual({ status: "approved" }));
  });

  it("keeps the question that is open when the list changes", async () => {
    let waiting: Approval[] = [{ ...REFUND, expires_at: SOON }];
    const decided = { ...REFUND, status: "approved", resolved_by: "Ida", resolved_at: Date.now() / 1000 };
    const requests = fakeServer({
      "GET /approvals": ({ query }: SentRequest) => ({
        body: pageOf(...(query.get("status") === "pending" ? waiting : [])),
      }),
      "GET /approvals/ap-refund": decided,
      "POST /approvals/ap-refund/resolve": () => {
        waiting = [{ ...DEPLOY, pause_type: "confirmation" }];
        return { body: decided };
      },
    });
    renderPage(<Routed />, "#/approvals");
    await screen.findByText("Approve");
    await press("a");
    await screen.findByRole("link", { name: /deploy/ });
    expect(screen.getAllByText(/Approved by Ida/).length).toBeGreaterThan(0);
    await press("a");
    expect(screen.queryByText("Approve")).toBeNull();
    expect(requests.filter(({ method }) => method === "POST")).toHaveLength(1);
    expect(window.location.hash).toBe("#/approvals/ap-refund");
  });

  it("takes a key that is held for one press", async () => {
    const requests = show(REFUND);
    await screen.findByText("Approve");
    await press("a", { repeat: true });
    await press("r");
    expect(await screen.findByLabelText(/^Note/)).toBeTruthy();
    expect(sentDecision(requests)).toBeUndefined();
  });

  it("has no key for a question that is still drawn after the place has changed", async () => {
    const requests = show(REFUND);
    await screen.findByText("Approve");
    window.location.hash = "#/approvals/ap-deploy";
    await press("a");
    await press("r");
    expect(sentDecision(requests)).toBeUndefined();
    expect(screen.queryByLabelText(/^Note/)).toBeNull();
  });

  it("rejects with a note", async () => {
    const requests = show(REFUND, { "POST /approvals/ap-refund/resolve": { ...REFUND, status: "rejected" } });
    await screen.findByText("Approve");
    await press("r");
    const note = await screen.findByLabelText(/^Note/);
    await waitFor(() => expect(document.activeElement).toBe(note));
    fireEvent.change(note, { target: { value: "Refund all of it." } });
    fireEvent.keyDown(note, { key: "Enter", ctrlKey: true });
    const decision = { status: "rejected", resolution_data: { note: "Refund all of it." } };
    await waitFor(() => expect(sentDecision(requests)).toEqual(decision));
  });

  it("leaves the note with Escape and sends nothing", async () => {
    const requests = show(REFUND);
    await screen.findByText("Approve");
    await press("r");
    fireEvent.keyDown(await screen.findByLabelText(/^Note/), { key: "Escape" });
    expect(await screen.findByText("Approve")).toBeTruthy();
    expect(sentDecision(requests)).toBeUndefined();
  });

  it("approves with changed values", async () => {
    const requests = show(REFUND, { "POST /approvals/ap-refund/resolve": { ...REFUND, status: "approved" } });
    await screen.findByText("Approve");
    await press("e");
    const amount = await screen.findByLabelText("amount_eur");
    fireEvent.change(amount, { target: { value: "a lot" } });
    fireEvent.click(screen.getByText("Approve with these values"));
    expect(await screen.findByText("Enter a number, such as 12.50.")).toBeTruthy();
    fireEvent.change(amount, { target: { value: "103.9" } });
    expect(screen.getByText("It was 14.9")).toBeTruthy();
    fireEvent.click(screen.getByText("Approve with these values"));
    const decision = { status: "approved", resolution_data: { values: { amount_eur: 103.9 } } };
    await waitFor(() => expect(sentDecision(requests)).toEqual(decision));
  });

  it("marks the values that are missing before it sends an answer", async () => {
    const requests = show(CHECK_IN, { "POST /approvals/ap-check-in/resolve": { ...CHECK_IN, status: "approved" } });
    fireEvent.change(await screen.findByLabelText("bags"), { target: { value: "2" } });
    fireEvent.click(screen.getByText("Send"));
    expect(await screen.findByText("Enter a value.")).toBeTruthy();
    fireEvent.change(screen.getByLabelText("seat"), { target: { value: "12A" } });
    fireEvent.click(screen.getByText("Send"));
    const decision = { status: "approved", resolution_data: { values: { seat: "12A", bags: 2 } } };
    await waitFor(() => expect(sentDecision(requests)).toEqual(decision));
  });

  it("sends the chosen answers", async () => {
    const requests = show(QUESTIONS, { "POST /approvals/ap-questions/resolve": { ...QUESTIONS, status: "approved" } });
    fireEvent.click(await screen.findByLabelText(/eu-north/));
    fireEvent.click(screen.getByLabelText("Sales"));
    fireEvent.click(screen.getByLabelText("Support"));
    fireEvent.click(screen.getByText("Send"));
    const values = { "Which region first?": ["eu-north"], "Who is told?": ["Sales", "Support"] };
    await waitFor(() => expect(sentDecision(requests)).toEqual({ status: "approved", resolution_data: { values } }));
  });

  it("takes the result of a call that somebody made elsewhere", async () => {
    const requests = show(DEPLOY, { "POST /approvals/ap-deploy/resolve": { ...DEPLOY, status: "approved" } });
    fireEvent.change(await screen.findByLabelText(/^Result/), { target: { value: "deployed" } });
    fireEvent.click(screen.getByText("Send result"));
    const decision = { status: "approved", resolution_data: { result: "deployed" } };
    await waitFor(() => expect(sentDecision(requests)).toEqual(decision));
  });

  it("has no key for a call whose outcome is unknown", async () => {
    const requests = show(NEWSLETTER, {
      "POST /approvals/ap-newsletter/resolve": { ...NEWSLETTER, status: "approved" },
    });
    await screen.findByText("Make the call again");
    await press("a");
    await press("r");
    fireEvent.click(screen.getByText("It happened…"));
    fireEvent.change(await screen.findByLabelText(/^Result/), { target: { value: "sent to 4812" } });
    fireEvent.click(screen.getByText("Send result"));
    const decision = { status: "approved", resolution_data: { result: "sent to 4812" } };
    await waitFor(() => expect(sentDecision(requests)).toEqual(decision));
  });

  it("makes a call again whose outcome is unknown", async () => {
    const requests = show(NEWSLETTER, {
      "POST /approvals/ap-newsletter/resolve": { ...NEWSLETTER, status: "approved" },
    });
    fireEvent.click(await screen.findByText("Make the call again"));
    await waitFor(() => expect(sentDecision(requests)).toEqual({ status: "approved" }));
  });

  it("leaves out a call whose outcome is unknown, with a note", async () => {
    const requests = show(NEWSLETTER, {
      "POST /approvals/ap-newsletter/resolve": { ...NEWSLETTER, status: "rejected" },
    });
    fireEvent.click(await screen.findByText("Do not make it…"));
    fireEvent.change(await screen.findByLabelText(/^Note/), { target: { value: "It is too late." } });
    fireEvent.click(screen.getByText("Reject"));
    const decision = { status: "rejected", resolution_data: { note: "It is too late." } };
    await waitFor(() => expect(sentDecision(requests)).toEqual(decision));
  });

  it("lists what expires first, and the rest on further pages", async () => {
    const second = { ...DEPLOY, expires_at: SOON + 60 };
    const requests = show(REFUND, {
      "GET /approvals": ({ query }: SentRequest) => {
        if (query.get("status") !== "pending") return { body: pageOf(second) }; // the newest one expires later
        const isFirst = query.get("page") === "1";
        const meta = { page: isFirst ? 1 : 2, limit: 200, total_pages: 2, total_count: 201 };
        return { body: { data: [isFirst ? { ...REFUND, expires_at: SOON } : second], meta } };
      },
    });
    await screen.findByText("Needs you · 201");
    expect(requests.find(({ query }) => query.get("status") === "pending")?.query.get("sort_by")).toBe("expires_at");
    expect(screen.queryByRole("link", { name: /deploy/ })).toBeNull();
    fireEvent.click(screen.getByText("Show more questions"));
    await screen.findByRole("link", { name: /deploy/ });
    const names = screen.getAllByRole("link").map((link) => link.textContent);
    expect(names[0]).toContain("refund_payment");
    expect(names[1]).toContain("deploy");
    expect(screen.queryByText("Show more questions")).toBeNull();
  });

  it("says who was faster", async () => {
    let isDecided = false;
    const decided = { ...REFUND, status: "approved", resolved_by: "Ida", resolved_at: Date.now() / 1000 };
    show(REFUND, {
      "GET /approvals": () => ({ body: pageOf((isDecided ? decided : { ...REFUND, expires_at: SOON }) as Approval) }),
      "POST /approvals/ap-refund/resolve": () => {
        isDecided = true;
        return { status: 409, body: { detail: "Approval is already 'approved' by Ida and cannot be resolved" } };
      },
    });
    fireEvent.click(await screen.findByText("Reject…"));
    fireEvent.click(screen.getByText("Reject"));
    expect((await screen.findAllByText(/Approved by Ida/)).length).toBeGreaterThan(0);
    expect(await screen.findByText("Your rejection was not used.")).toBeTruthy();
  });

  it("says that other values were used, and with which ones the reader approved", async () => {
    const decided = {
      ...REFUND,
      status: "approved",
      resolved_by: "Ida",
      resolution_data: { values: { amount_eur: 5 } },
    };
    let shown = { ...REFUND, expires_at: SOON } as Approval;
    show(REFUND, {
      "GET /approvals": () => ({ body: pageOf(shown) }),
      "POST /approvals/ap-refund/resolve": () => {
        shown = { ...decided, resolved_at: Date.now() / 1000 } as Approval;
        return { status: 409, body: { detail: "Approval is already 'approved' by Ida and cannot be resolved" } };
      },
    });
    await screen.findByText("Approve");
    await press("e");
    fireEvent.change(await screen.findByLabelText("amount_eur"), { target: { value: "50" } });
    fireEvent.click(screen.getByText("Approve with these values"));
    expect(await screen.findByText("Your approval was not used: it was decided with other values.")).toBeTruthy();
    expect(screen.getByText("amount_eur: 50")).toBeTruthy();
    expect(screen.getByText("5")).toBeTruthy();
  });

  it("keeps why a decision failed for a reader who went on to the next question", async () => {
    const second = { ...DEPLOY, expires_at: SOON + 60 };
    fakeServer({
      "GET /approvals": () => ({ body: pageOf({ ...REFUND, expires_at: SOON }, second) }),
      "POST /approvals/ap-refund/resolve": () => ({ status: 500, body: { detail: "The disk is full." } }),
    });
    renderPage(<Routed />, "#/approvals");
    await screen.findByText("Approve");
    await press("a");
    await press("j");
    await screen.findByText("Send result");
    await press("k");
    expect(await screen.findByText("The disk is full.")).toBeTruthy();
  });

  it("shows what the server says about wrong values, and keeps what was typed", async () => {
    show(CHECK_IN, {
      "POST /approvals/ap-check-in/resolve": () => ({ status: 422, body: { detail: "seat: 99Z is not a seat" } }),
    });
    fireEvent.change(await screen.findByLabelText("seat"), { target: { value: "99Z" } });
    fireEvent.change(screen.getByLabelText("bags"), { target: { value: "0" } });
    fireEvent.click(screen.getByText("Send"));
    expect(await screen.findByText("seat: 99Z is not a seat")).toBeTruthy();
    expect((screen.getByLabelText("seat") as HTMLInputElement).value).toBe("99Z");
  });

  it("shows hostile text as text", async () => {
    show({ ...REFUND, tool_description: "<img src=x onerror=alert(1)>", tool_args: { html: "<script>1</script>" } });
    expect(await screen.findByText("<img src=x onerror=alert(1)>")).toBeTruthy();
    expect(document.querySelector("img, script")).toBeNull();
  });
});
