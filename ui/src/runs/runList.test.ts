import { expect, test } from "vitest";
import { completedRun, runOf, TOTALS } from "./fixtures";
import { changedRows, changesSince, EMPTY_CHANGES, sums, withChanges } from "./runList";

const shown =
  (...ids: string[]) =>
  (id: string) =>
    ids.includes(id);
const always = () => true;

test("a run on the page changes in place; a new one waits behind the button", () => {
  const state = withChanges(EMPTY_CHANGES, [completedRun({ run_id: "a" }), runOf({ run_id: "b" })], shown("a"), always);
  expect([...state.fresh]).toEqual(["b"]);
  const rows = changedRows([runOf({ run_id: "a" }), runOf({ run_id: "c" })], state.changes);
  expect(rows.map((row) => [row.run_id, row.status])).toEqual([
    ["a", "COMPLETED"],
    ["c", "RUNNING"],
  ]);
});

test("what does not fit the filters is not announced, nor still announced when it stops to fit", () => {
  const run = runOf({ run_id: "b", waiting: 1 });
  const needsYou = (candidate: typeof run) => candidate.waiting > 0;
  const state = withChanges(EMPTY_CHANGES, [run], shown(), needsYou);
  expect(state.fresh.size).toBe(1);
  expect(withChanges(state, [{ ...run, waiting: 0 }], shown(), needsYou).fresh.size).toBe(0);
});

test("an older message never takes back an end or an attempt", () => {
  const ended = completedRun({ run_id: "a" });
  expect(changedRows([ended], new Map([["a", runOf({ run_id: "a" })]]))).toEqual([ended]);
  const second = runOf({ run_id: "a", attempts: 2 });
  expect(changedRows([second], new Map([["a", runOf({ run_id: "a" })]]))).toEqual([second]);
  const continued = runOf({ run_id: "a", attempts: 2 });
  expect(changedRows([ended], new Map([["a", continued]]))).toEqual([continued]);
});

test("of runs that are not on the page only a bounded number is remembered", () => {
  let state = withChanges(EMPTY_CHANGES, [completedRun({ run_id: "a" })], shown("a"), always);
  for (let day = 0; day < 3; day++) {
    const runs = Array.from({ length: 900 }, (_, index) => runOf({ run_id: `${day}-${index}` }));
    state = withChanges(state, runs, shown("a"), always);
  }
  expect(state.fresh.size).toBe(1000);
  expect(state.changes.size).toBe(1001);
  expect(state.changes.has("a")).toBe(true);
  expect(state.changes.has("2-899")).toBe(true); // the newest may be newer than a list that is on its way
});

test("once the lists are read again, only what changed meanwhile is remembered", () => {
  const before = withChanges(EMPTY_CHANGES, [runOf({ run_id: "a" }), runOf({ run_id: "b" })], shown("a"), always);
  const ended = completedRun({ run_id: "a" });
  const later = withChanges(before, [ended, runOf({ run_id: "c" })], shown("a"), always);
  const state = changesSince(before, later);
  expect([...state.changes.keys()]).toEqual(["a", "c"]);
  expect(state.changes.get("a")).toBe(ended);
  expect([...state.fresh]).toEqual(["c"]);
});

test("sums leave out what is not known", () => {
  expect(sums([runOf(), runOf({ totals: null }), runOf({ totals: { ...TOTALS, cost: null } })])).toEqual({
    tokens: 11_744,
    cost: 0.0099,
  });
});
