// Drives the client of clients/ts: node typescript_client.mjs '{"url": …}' (client_drivers.py says how it is asked).
//
// Calls are named as in the client, such as `runs.list`. A file among the arguments is {"$file": name, "content": text};
// `decide` takes the names of a requirement's method and of its arguments for all that the run waits for.

import { createInterface } from "node:readline";
import { Client, requireCompleted, requirementsOf } from "../../clients/ts/dist/index.js";

const client = new Client(JSON.parse(process.argv[2]));

const own = {
  decide: async (run, method, ...args) => {
    const requirements = requirementsOf(await client.runs.get(run));
    return client.decide(run, requirements.map((requirement) => requirement[method](...args)));
  },
  requirements: async (run) => requirementsOf(await client.runs.get(run)),
  export: async (run) => JSON.parse(await (await client.runs.export(run)).text()),
  requireCompleted: async (run) => requireCompleted(await client.runs.get(run)),
  api: async (method, path, init) => (await client.api[method](path, init)).data,
};

function withFiles(value) {
  if (Array.isArray(value)) return value.map(withFiles);
  if (typeof value !== "object" || value === null) return value;
  if ("$file" in value) return new File([value.content], value.$file, { type: value.type ?? "" });
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withFiles(item)]));
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function call(id, name, args) {
  if (name in own) return say({ id, result: (await own[name](...args)) ?? null });
  const [part, method] = name.includes(".") ? name.split(".") : [null, name];
  const target = part === null ? client : client[part];
  const result = target[method](...args);
  if (typeof result[Symbol.asyncIterator] !== "function") return say({ id, result: (await result) ?? null });
  for await (const event of result) say({ id, event });
  return say({ id, result: null, is_stream: true });
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, do: name, args } = JSON.parse(line);
  try {
    await call(id, name, withFiles(args));
  } catch (error) {
    say({ id, error: { kind: error.name, words: error.message, status: error.status ?? null, body: error.fields ?? null } });
  }
});
