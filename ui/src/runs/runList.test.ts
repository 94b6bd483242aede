import { expect, test } from "vitest";
import { completedRun, runOf, TOTALS } from "./fixtures";
import { changedRows, EMPTY_CHANGES, sums, withChanges } from "./runList";

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

test("sums leave out what is not known", () => {
  expect(sums([runOf(), runOf({ totals: null }), runOf({ totals: { ...TOTALS, cost: null } })])).toEqual({
    tokens: 11_744,
    cost: 0.0099,
  });
});
