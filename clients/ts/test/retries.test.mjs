import assert from "node:assert/strict";
import { test } from "node:test";
import { CannotConnect, Client, InvalidInput, ServerError, TooManyRequests } from "../dist/index.js";
import { json, scripted } from "./server.mjs";

const URL = "https://teams.example.org/prefix/";
const REFUSED = Object.assign(new TypeError("fetch failed"), { cause: new Error("connect ECONNREFUSED") });
const RECEIPT = { run_id: "r1", session_id: "s1", status: "PENDING" };
const UNAVAILABLE = json({ detail: "Stopping" }, 503);

function clientOf(server, options = {}) {
  return new Client({ url: URL, token: "secret", fetch: server.fetch, ...options });
}

test("a start is sent again with the same key and the same body until it is answered", async () => {
  const bodies = [];
  const take = (answer) => async (request) => {
    bodies.push(await request.text());
    return answer;
  };
  const server = scripted(take(REFUSED), take(UNAVAILABLE), take(json(RECEIPT, 202)));
  assert.deepEqual(await clientOf(server).start("desk/1", "hello", { session_id: "s1" }), RECEIPT);
  assert.equal(server.requests[0].url, "https://teams.example.org/prefix/teams/desk%2F1/runs");
  assert.equal(server.requests[0].headers.get("Authorization"), "Bearer secret");
  const keys = new Set(server.requests.map((request) => request.headers.get("Idempotency-Key")));
  assert.equal(keys.size, 1);
  assert.match([...keys][0], /^[0-9a-f]{32}$/);
  const body = { message: "hello", session_id: "s1", background: true, stream: false };
  assert.deepEqual(bodies.map(JSON.parse), [body, body, body]);
});

test("two starts have two keys", async () => {
  const server = scripted(json(RECEIPT, 202));
  const client = clientOf(server);
  await client.start("desk", "hello");
  await client.start("desk", "hello");
  const keys = server.requests.map((request) => request.headers.get("Idempotency-Key"));
  assert.notEqual(keys[0], keys[1]);
});

test("files are sent again whole", async () => {
  const names = [];
  const server = scripted(
    async (request) => {
      names.push((await request.formData()).get("files").name);
      return UNAVAILABLE;
    },
    async (request) => {
      const form = await request.formData();
      names.push(form.get("files").name);
      assert.equal(form.get("metadata"), '{"a":1}');
      return json(RECEIPT, 202);
    },
  );
  await clientOf(server).start("desk", "hello", { files: [new File(["abc"], "a.txt")], metadata: { a: 1 } });
  assert.deepEqual(names, ["a.txt", "a.txt"]);
});

test("an answer that breaks off is asked for again", async () => {
  const broken = () =>
    Object.assign(
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode("["));
            controller.error(new TypeError("terminated"));
          },
        }),
        { headers: { "Content-Type": "application/json" } },
      ),
      { clone: () => broken() },
    );
  assert.deepEqual(await clientOf(scripted(broken, json([]))).teams.list(), []);
});

test("an answer that will not change is not asked for again", async () => {
  const problem = { detail: "Wrong", error_code: "INVALID", request_id: "q1" };
  const errors = [{ loc: ["body", "budget", "tokens"], msg: "too low" }];
  const server = scripted(json({ ...problem, errors }, 422));
  await assert.rejects(clientOf(server).start("desk", "hello"), (error) => {
    assert.ok(error instanceof InvalidInput);
    assert.equal(error.name, "InvalidInput");
    assert.deepEqual(error.fields, { "budget.tokens": "too low" });
    assert.deepEqual([error.status, error.code, error.requestId], [422, "INVALID", "q1"]);
    assert.match(
      error.message,
      /^POST https:\/\/teams\.example\.org\/prefix\/teams\/desk\/runs was answered 422: Wrong/,
    );
    assert.ok(!error.message.includes("secret"));
    return true;
  });
  assert.equal(server.requests.length, 1);
});

test("Retry-After is waited for, and no longer than a call may take", async () => {
  const busy = (headers) => json({ detail: "Busy" }, 429, headers);
  const client = clientOf(scripted(busy({ "Retry-After": "1" }), json([])));
  const before = performance.now();
  await client.teams.list();
  assert.ok(performance.now() - before >= 990);
  const date = new Date(Date.now() + 3_600_000).toUTCString();
  for (const header of ["3600", date]) {
    await assert.rejects(clientOf(scripted(busy({ "Retry-After": header }))).teams.list(), TooManyRequests);
  }
});

test("a call gives up after retrySeconds", async () => {
  await assert.rejects(clientOf(scripted(REFUSED), { retrySeconds: 0 }).teams.list(), (error) => {
    assert.ok(error instanceof CannotConnect);
    assert.match(error.message, /does not answer GET \/prefix\/teams: connect ECONNREFUSED/);
    assert.equal(error.cause, REFUSED);
    return true;
  });
  await assert.rejects(clientOf(scripted(UNAVAILABLE), { retrySeconds: 0.3 }).teams.list(), ServerError);
});

test("a page of a proxy is no answer", async () => {
  const page = new Response("<html>", { headers: { "Content-Type": "text/html" } });
  await assert.rejects(clientOf(scripted(page)).teams.list(), /not JSON. Is this the URL of a musterd server/);
});

test("a signal ends a call, and its waits", async () => {
  const stop = new AbortController();
  const server = scripted(() => {
    setTimeout(() => stop.abort(), 10);
    return json({ detail: "Busy" }, 429, { "Retry-After": "20" });
  });
  await assert.rejects(clientOf(server).teams.list({ signal: stop.signal }), { name: "AbortError" });
  assert.equal(server.requests.length, 1);
});

test("by its path, an operation that must not be sent twice is not", async () => {
  const post = (api, headers) => api.POST("/memories", { body: { memory: "tea", user_id: "ann" }, headers });
  for (const [headers, tries] of [
    [{}, 1],
    [{ "Idempotency-Key": "k1" }, 2],
  ]) {
    const server = scripted(UNAVAILABLE, json({ memory_id: "m1" }));
    await post(clientOf(server).api, headers).catch((error) => assert.ok(error instanceof ServerError));
    assert.equal(server.requests.length, tries);
  }
  const server = scripted(UNAVAILABLE, json({ data: [] }));
  await clientOf(server).api.GET("/memories");
  assert.equal(server.requests.length, 2);
});

test("a client needs the URL of a server", () => {
  assert.throws(() => new Client({ url: "ftp://teams.example.org" }), /is not the URL of a server/);
});
