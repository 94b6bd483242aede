import { expect, test } from "vitest";
import { RowOffsets } from "./offsets";

const keys = (count: number) => Array.from({ length: count }, (_, i) => `row ${i}`);

test("rows have their estimated height until they are measured", () => {
  const rows = new RowOffsets(30);
  rows.setKeys(keys(20_000));
  expect(rows.total).toBe(600_000);
  expect(rows.setHeight(2, 100)).toBe(70);
  expect([rows.topOf(2), rows.topOf(3), rows.total]).toEqual([60, 160, 600_070]);
});

test("only rows in sight are asked for", () => {
  const rows = new RowOffsets(30);
  rows.setKeys(keys(20_000));
  expect(rows.between(-100, 95)).toEqual({ first: 0, end: 4 });
  expect(rows.between(300_000, 300_300)).toEqual({ first: 10_000, end: 10_011 });
  expect(rows.between(700_000, 800_000)).toEqual({ first: 20_000, end: 20_000 });
});

test("measured heights stay with their rows when others come before them", () => {
  const rows = new RowOffsets(30);
  rows.setKeys(["a", "b"]);
  rows.setHeight(1, 90);
  rows.setKeys(["new", "a", "b"]);
  expect([rows.heightOf(0), rows.heightOf(1), rows.heightOf(2)]).toEqual([30, 30, 90]);
  rows.setKeys(["b"]);
  expect(rows.total).toBe(90);
});
