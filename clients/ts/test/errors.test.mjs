import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerError, Client } from "../dist/index.js";
import { json, scripted } from "./server.mjs";

const NAMES = {
  400: "InvalidInput",
  401: "Unauthorized",
  403: "Forbidden",
  404: "NotFound",
  409: "Conflict",
  422: "InvalidInput",
  429: "TooManyRequests",
  500: "ServerError",
  503: "ServerError",
};

function failing(response) {
  const client = new Client({
    url: "https://teams.example.org",
    token: "secret",
    retrySeconds: 0,
    fetch: scripted(response).fetch,
  });
  return client.teams.list();
}

for (const [status, name] of Object.entries(NAMES)) {
  test(`${status} is ${name}`, async () => {
    await assert.rejects(failing(json({ detail: "Why" }, Number(status))), (error) => {
      assert.equal(error.constructor.name, name);
      assert.ok(error instanceof AnswerError);
      assert.ok(!error.message.includes("secret"));
      assert.deepEqual([error.name, error.status, error.detail], [name, Number(status), "Why"]);
      return true;
    });
  });
}

test("the page of a proxy has no sentence of the server", async () => {
  const page = new Response("<html>", { status: 502, statusText: "Bad Gateway", headers: { "X-Request-ID": "q1" } });
  await assert.rejects(failing(page), {
    name: "ServerError",
    detail: "Bad Gateway",
    code: "",
    requestId: "q1",
    message: "GET https://teams.example.org/teams was answered 502: Bad Gateway [request q1]",
  });
});
