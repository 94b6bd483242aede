import { describe, expect, it } from "vitest";
import { APPROVED, CHECK_IN, DEPLOY, NEWSLETTER, REFUND } from "./fixtures";
import { closedAt, neighbour, nextPending, toInbox } from "./inbox";

const NOW = 1_000_100;

describe("the keys of the list", () => {
  const decided = { ...CHECK_IN, status: "approved" as const, resolved_at: NOW };
  const inbox = { pending: [REFUND, NEWSLETTER, DEPLOY], decided: [decided, APPROVED], hasMoreDecided: false };

  it("go on among the questions after one of them was decided", () => {
    expect(neighbour(inbox, decided.id, 1, 1)).toBe(NEWSLETTER);
    expect(neighbour(inbox, decided.id, -1, 1)).toBe(REFUND);
  });

  it("go through decisions that were opened as such", () => {
    expect(neighbour(inbox, decided.id, 1, null)).toBe(APPROVED);
    expect(neighbour(inbox, decided.id, -1, null)).toBe(DEPLOY);
  });

  it("reach the decisions after the last question", () => {
    expect(neighbour(inbox, DEPLOY.id, 1, 2)).toBe(decided);
    expect(neighbour(inbox, decided.id, 1, 3)).toBe(APPROVED);
  });
});

describe("the inbox", () => {
  it("lists what expires first at the top, and what never expires last", () => {
    const inbox = toInbox([DEPLOY, CHECK_IN, NEWSLETTER, REFUND], [], NOW);
    expect(inbox.pending.map((approval) => approval.tool_name)).toEqual([
      "refund_payment",
      "send_newsletter",
      "check_in",
      "deploy",
    ]);
  });

  it("takes the decided one of two copies of an approval", () => {
    const decided = { ...REFUND, status: "rejected" as const, resolved_at: NOW };
    const inbox = toInbox([REFUND, CHECK_IN], [decided], NOW);
    expect(inbox.pending).toEqual([CHECK_IN]);
    expect(inbox.decided).toEqual([decided]);
  });

  it("leaves out what is on a page that is not read yet, though it is among the newest", () => {
    expect(toInbox([REFUND], [DEPLOY, REFUND], NOW, true).pending).toEqual([REFUND]);
  });

  it("keeps a question that was decided between the reading of what waits and of the newest", () => {
    expect(toInbox([], [REFUND], NOW).pending).toEqual([REFUND]);
  });

  it("keeps decisions for a day", () => {
    expect(toInbox([], [APPROVED], NOW).decided).toEqual([APPROVED]);
    expect(toInbox([], [APPROVED], NOW + 24 * 3600).decided).toEqual([]);
  });

  it("knows whether the last day had more decisions than are read", () => {
    const read = (count: number, age: number) =>
      Array.from({ length: count }, (_, index) => ({ ...APPROVED, id: `ap-${index}`, created_at: NOW - age - index }));
    expect(toInbox([], read(49, 60), NOW).hasMoreDecided).toBe(false);
    expect(toInbox([], read(50, 60), NOW).hasMoreDecided).toBe(true);
    expect(toInbox([], read(50, 24 * 3600 - 10), NOW).hasMoreDecided).toBe(false);
  });

  it("keeps questions that expired for a day after their expiry", () => {
    const expired = { ...REFUND, status: "expired" as const, expires_at: NOW - 10, created_at: NOW - 8 * 24 * 3600 };
    expect(toInbox([], [APPROVED, expired], NOW).decided).toEqual([expired, APPROVED]);
    expect(toInbox([], [expired], NOW + 24 * 3600).decided).toEqual([]);
  });

  it("does not know when a question expired with another one of its run", () => {
    const expired = { ...REFUND, status: "expired" as const, expires_at: NOW + 3600 };
    expect(closedAt(expired, NOW)).toBeNull();
    expect(toInbox([], [expired], NOW).decided).toEqual([expired]);
  });

  it("goes on to the next undecided question and wraps around at the end", () => {
    const pending = [REFUND, NEWSLETTER, CHECK_IN];
    expect(nextPending(pending, REFUND.id)).toBe(NEWSLETTER);
    expect(nextPending(pending, CHECK_IN.id)).toBe(REFUND);
    expect(nextPending(pending, "ap-decided")).toBe(REFUND);
    expect(nextPending([REFUND], REFUND.id)).toBeUndefined();
  });

  it("moves through pending and decided ones with j and k", () => {
    const inbox = { pending: [REFUND, CHECK_IN], decided: [APPROVED], hasMoreDecided: false };
    expect(neighbour(inbox, undefined, 1)).toBe(REFUND);
    expect(neighbour(inbox, CHECK_IN.id, 1)).toBe(APPROVED);
    expect(neighbour(inbox, APPROVED.id, 1)).toBe(APPROVED);
    expect(neighbour(inbox, REFUND.id, -1)).toBe(REFUND);
  });
});
