// Drives an AgnoClient of npm, unmodified: node drive.mjs PACKAGE ADDRESS (tests/support/client_drivers.py says how it is asked).
//
// Calls name a client of their own first; it is made when it is named for the first time. While a call is under way what
// the client emits is an event of it.

import { createInterface } from "node:readline";

const [packageName, endpoint] = process.argv.slice(2);
const { AgnoClient } = await import(packageName);
const clients = new Map();

class Watched {
  constructor(config) {
    const { refreshed, ...given } = config;
    this.refreshes = 0;
    if (refreshed) {
      given.onTokenExpired = async () => {
        this.refreshes += 1;
        return refreshed;
      };
    }
    this.client = new AgnoClient({ endpoint, ...given });
    this.emitted = [];
    this.listeners = new Set();
    const emit = this.client.emit.bind(this.client);
    this.client.emit = (name, ...values) => {
      const done = emit(name, ...values);
      this.emitted.push(name);
      for (const listener of this.listeners) listener(name, values);
      return done;
    };
  }

  look() {
    const { client, emitted, refreshes } = this;
    return {
      messages: client.getMessages(),
      state: client.getState(),
      session_id: client.getConfig().sessionId ?? null,
      emitted,
      refreshes,
    };
  }

  // Resolves once `name` was emitted so often, be it before.
  async waitForEvent(name, times = 1) {
    const isEmitted = () => this.emitted.filter((emitted) => emitted === name).length >= times;
    if (isEmitted()) return;
    await new Promise((resolve) => {
      const listener = () => {
        if (!isEmitted()) return;
        this.listeners.delete(listener);
        resolve();
      };
      this.listeners.add(listener);
    });
  }
}

function taken(value) {
  if (value?.$type !== "FormData") return value;
  const form = new FormData();
  form.append("message", value.message);
  for (const { name, type, content } of value.files) {
    form.append("files", new File([Buffer.from(content, "base64")], name, { type }));
  }
  return form;
}

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function act({ id, do: name, args: [key, ...args], with: config }) {
  try {
    if (!clients.has(key)) clients.set(key, new Watched(config));
    const watched = clients.get(key);
    const listener = (emitted, values) => say({ id, event: { event: emitted, values, state: watched.client.getState() } });
    watched.listeners.add(listener);
    try {
      const target = ["look", "waitForEvent"].includes(name) ? watched : watched.client;
      say({ id, result: (await target[name](...args.map(taken))) ?? null });
    } finally {
      watched.listeners.delete(listener);
    }
  } catch (error) {
    say({ id, error: { kind: error.name, words: error.message, status: error.status ?? null } });
  }
}

for await (const line of createInterface({ input: process.stdin })) act(JSON.parse(line));
process.exit(0);
