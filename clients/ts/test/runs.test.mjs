import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, RunPaused, requireCompleted, requirementsOf, StillRunning } from "../dist/index.js";
import { json, scripted } from "./server.mjs";

const run = (status, more = {}) => ({ run_id: "r1", session_id: "s1", status, ...more });
const tool = { id: "q1", kind: "user_input", tool_execution: { tool_name: "paint", tool_args: { thing: "door" } } };

function clientOf(server) {
  return new Client({ url: "https://teams.example.org", fetch: server.fetch });
}

test("a wait polls until the run has finished", async () => {
  const server = scripted(json(run("RUNNING")), json(run("COMPLETED")));
  assert.equal((await clientOf(server).wait("r1")).status, "COMPLETED");
  assert.match(server.requests[0].url, /\/runs\/r1\?wait=30$/);
});

test("a wait that is over says so", async () => {
  await assert.rejects(clientOf(scripted(json(run("RUNNING")))).wait("r1", { waitSeconds: 0.1 }), StillRunning);
});

test("a paused run names what it waits for", () => {
  const paused = run("PAUSED", { requirements: [tool] });
  assert.throws(
    () => requireCompleted(paused),
    (error) => error instanceof RunPaused && error.run === paused && /decision about paint/.test(error.message),
  );
});

test("each kind of requirement has its decisions", () => {
  const feedback = { ...tool, id: "q2", user_feedback_schema: [{ question: "Which?" }] };
  const step = { id: "w1", step_name: "publish" };
  const [input, question, held, failed] = requirementsOf(
    run("PAUSED", {
      requirements: [tool, feedback],
      step_requirements: [step],
      error_requirements: [{ ...step, id: "w2" }],
    }),
  );
  assert.deepEqual([input.kind, input.name, held.kind, failed.kind], ["user_input", "paint", "step", "failed_step"]);
  const items = (...decisions) => decisions.map(({ list, item }) => [list, item]);
  assert.deepEqual(items(input.fillIn({ color: "red" }), question.fillIn({ "Which?": ["a"] })), [
    ["requirements", { id: "q1", user_input_schema: [{ name: "color", value: "red" }] }],
    ["requirements", { id: "q2", user_feedback_schema: [{ question: "Which?", selected_options: ["a"] }] }],
  ]);
  assert.deepEqual(
    items(held.approve(), held.fillIn({ a: 1 }), held.choose(["b"]), failed.approve(), failed.reject()),
    [
      ["step_requirements", { id: "w1", confirmed: true }],
      ["step_requirements", { id: "w1", user_input: { a: 1 } }],
      ["step_requirements", { id: "w1", selected_choices: ["b"] }],
      ["error_requirements", { id: "w2", decision: "retry" }],
      ["error_requirements", { id: "w2", decision: "skip" }],
    ],
  );
});

test("decisions are sent in one request", async () => {
  let body;
  const server = scripted(async (request) => {
    body = await request.json();
    return json(run("RUNNING"));
  });
  const [requirement] = requirementsOf(run("PAUSED", { requirements: [tool] }));
  await clientOf(server).decide("r1", [requirement.reject("no"), requirement.giveResult("done")]);
  assert.deepEqual(body.requirements, [
    { id: "q1", confirmation: false, confirmation_note: "no" },
    { id: "q1", external_execution_result: "done" },
  ]);
  await assert.rejects(clientOf(server).decide("r1", []), /give at least one decision/);
});

test("decisions of the inbox are sent to it", async () => {
  const sent = [];
  const server = scripted(async (request) => {
    const body = request.method === "POST" ? await request.json() : null;
    sent.push([`${request.method} ${new URL(request.url).pathname}`, body]);
    return json(run("RUNNING", { id: "q1" }));
  });
  const required = (id, more = {}) => ({
    ...tool,
    ...more,
    id,
    tool_execution: { ...tool.tool_execution, approval_type: "required" },
  });
  const asks = { user_feedback_schema: [{ question: "Which?" }] };
  const requirements = [required("q1"), required("q2"), required("q3", asks), required("q4"), { ...tool, id: "q5" }];
  const [input, refused, question, outside, own] = requirementsOf(run("PAUSED", { requirements }));
  const client = clientOf(server);
  const decisions = [
    input.approve({ color: "red" }),
    refused.reject("no"),
    question.fillIn({ "Which?": ["a"] }),
    outside.giveResult("done"),
  ];
  const receipt = { run_id: "r1", session_id: "s1", status: "RUNNING" };
  assert.deepEqual(await client.decide("r1", decisions), receipt);
  const resolved = (id, status, resolution_data) => [
    `POST /approvals/${id}/resolve`,
    { status, resolved_by: null, resolution_data },
  ];
  assert.deepEqual(sent.splice(0), [
    resolved("q1", "approved", { values: { color: "red" } }),
    resolved("q2", "rejected", { note: "no" }),
    resolved("q3", "approved", { values: { "Which?": ["a"] } }),
    resolved("q4", "approved", { result: "done" }),
    ["GET /runs/r1", null],
  ]);
  assert.deepEqual(await client.decide("r1", [own.approve(), refused.approve()]), receipt);
  assert.deepEqual(sent[0], resolved("q2", "approved", null));
  assert.deepEqual([sent.length, sent[1][0]], [2, "POST /runs/r1/continue"]);
  assert.deepEqual(sent[1][1].requirements, [{ id: "q5", confirmation: true }]);
});

test("a decision whose answer was lost counts as made", async () => {
  const values = { copies: 3, to: ["ann"] };
  const approval = { id: "a1", status: "approved", resolved_by: "ida", resolution_data: null };
  const conflict = json({ detail: "Already resolved" }, 409);
  const lost = scripted(conflict, json(approval));
  assert.deepEqual(await clientOf(lost).approvals.approve("a1", { resolvedBy: "ida" }), approval);
  await assert.rejects(clientOf(scripted(conflict, json(approval))).approvals.reject("a1"), { name: "Conflict" });
  const others = [null, { values: { ...values, copies: 2 } }, { result: "sent" }];
  for (const data of others) {
    const other = clientOf(scripted(conflict, json({ ...approval, resolution_data: data })));
    await assert.rejects(other.approvals.approve("a1", { values }), { name: "Conflict" });
  }
  const own = { ...approval, resolution_data: { values: { to: ["ann"], copies: 3 } } };
  assert.deepEqual(await clientOf(scripted(conflict, json(own))).approvals.approve("a1", { values }), own);
});
