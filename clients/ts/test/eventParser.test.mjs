import assert from "node:assert/strict";
import { test } from "node:test";
import { createEventParser } from "../dist/index.js";

function parsed(...pieces) {
  const events = [];
  const parser = createEventParser((event) => events.push(event));
  for (const piece of pieces) parser.feed(piece);
  return events;
}

const TEXT =
  ': ping\r\n\r\nid: 1\r\nevent: run\r\ndata: {"a":\r\ndata:1}\r\n\r\nid:2\ndata\n\nretry: 5\ndata:  two\n\n';
const EVENTS = [{ id: "1", event: "run", data: '{"a":\n1}' }, { id: "2", data: "" }, { data: " two" }];

test("events are read, wherever the text is cut", () => {
  assert.deepEqual(parsed(TEXT), EVENTS);
  for (let cut = 1; cut < TEXT.length; cut += 1) {
    assert.deepEqual(parsed(TEXT.slice(0, cut), TEXT.slice(cut)), EVENTS, `cut at ${cut}`);
  }
  assert.deepEqual(parsed(...TEXT), EVENTS);
});

test("lines may end with CR alone", () => {
  assert.deepEqual(parsed("data: one\r\rdata: two\r", "\rdata: three\r"), [{ data: "one" }, { data: "two" }]);
});

test("each character of a long line is split once", (context) => {
  const pieces = Array.from({ length: 1000 }, () => "x".repeat(100));
  let characters = 0;
  const split = String.prototype.split;
  context.mock.method(String.prototype, "split", function (...args) {
    characters += this.length;
    return split.apply(this, args);
  });
  const events = parsed("data: ", ...pieces, "\n", "\n");
  context.mock.restoreAll();
  assert.deepEqual(events, [{ data: pieces.join("") }]);
  assert.ok(characters < 2 * 100_000, `${characters} characters were split`);
});

test("an event that was cut off is none", () => {
  assert.deepEqual(parsed("data: one\n\nid: 2\ndata: cut"), [{ data: "one" }]);
  assert.deepEqual(parsed("id: 3\nevent: hello\n\n"), []);
});
