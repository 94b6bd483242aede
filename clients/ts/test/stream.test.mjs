import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Client, NotFound } from "../dist/index.js";
import { event, events, json, scripted } from "./server.mjs";

const END = event(3, "TeamRunCompleted");

function clientOf(server, options = {}) {
  return new Client({ url: "https://teams.example.org", fetch: server.fetch, ...options });
}

async function read(stream) {
  const indexes = [];
  for await (const item of stream) indexes.push(item.event_index);
  return indexes;
}

const sentIds = (server) => server.requests.map((request) => request.headers.get("Last-Event-ID"));

test("a stream that breaks goes on after the last event, and none comes twice", async () => {
  const server = scripted(
    events([event(0), event(1)], { isBroken: false }),
    new TypeError("fetch failed"),
    json({ detail: "Stopping" }, 503),
    events([event(1), event(2)]),
    events([END]),
  );
  assert.deepEqual(await read(clientOf(server).stream("r1")), [0, 1, 2, 3]);
  assert.deepEqual(sentIds(server), ["-1", "1", "1", "1", "2"]);
});

test("the end of a member is not the end of the run", async () => {
  const member = event(0, "RunCompleted", { run_id: "m1", nested_depth: 1 });
  const server = scripted(events([member]), events([event(1, "TeamRunCompleted", { run_id: "root" })]));
  assert.deepEqual(await read(clientOf(server).stream("a name of the caller's own")), [0, 1]);
});

test("nothing is left of a run that has finished", async () => {
  const server = scripted(new Response(null, { status: 204 }));
  assert.deepEqual(await read(clientOf(server).stream({ run_id: "r1" }, { after: 3 })), []);
  assert.deepEqual(sentIds(server), ["3"]);
});

test("a stream ends at a pause that lasts, and goes on after an old one", async () => {
  const page = (status, list) => json({ status, events: list });
  const old = scripted(events([event(0, "TeamRunPaused")]), page("RUNNING", [event(1)]), events([event(1), END]));
  assert.deepEqual(await read(clientOf(old).stream("r1")), [0, 1, 3]);
  const lasting = scripted(events([event(0, "TeamRunPaused")]), page("PAUSED", []));
  assert.deepEqual(await read(clientOf(lasting).stream("r1")), [0]);
  assert.match(lasting.requests[1].url, /after=0&limit=1$/);
});

test("a run that is not there is not asked for again", async () => {
  const server = scripted(json({ detail: "Run not found" }, 404));
  await assert.rejects(read(clientOf(server).stream("r1")), NotFound);
  assert.equal(server.requests.length, 1);
});

test("a reader that leaves closes the connection", async () => {
  let signal;
  const open = (_request, init) => {
    signal = init.signal;
    return events([event(0), event(1)])();
  };
  for await (const item of clientOf(scripted(open)).stream("r1")) {
    assert.equal(item.event_index, 0);
    break;
  }
  assert.equal(signal.aborted, true);
});

test("a signal ends a stream", async () => {
  const stop = new AbortController();
  const stream = clientOf(scripted(events([event(0)]))).stream("r1", { signal: stop.signal });
  await stream.next();
  stop.abort();
  await assert.rejects(stream.next(), { name: "AbortError" });
});

test("a connection that is silent for longer than the server pings is given up", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const silent = (_request, { signal }) => {
    const body = new ReadableStream({
      start: (controller) => signal.addEventListener("abort", () => controller.error(signal.reason)),
    });
    const response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    response.clone = () => response;
    return response;
  };
  const server = scripted(silent, events([END]));
  const reading = read(clientOf(server).stream("r1"));
  let seconds = 0;
  while (server.requests.length < 2) {
    await setImmediate();
    context.mock.timers.tick(1000);
    seconds += 1;
  }
  assert.deepEqual(await reading, [3]);
  assert.ok(seconds >= 45 && seconds < 60, `after ${seconds} s`);
});
