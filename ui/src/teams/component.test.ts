import { describe, expect, it } from "vitest";
import { asksPerson, type Component, componentKey, isServed, ownTools, toDirectory } from "./component";

const MODEL = { name: "OpenAIChat", model: "gpt-5", provider: "OpenAI" };
const CARRIER: Component = { id: "carrier", name: "Carrier", model: MODEL };
const SHIPPING: Component = { id: "shipping", name: "Shipping", model: MODEL, members: [CARRIER] };
const BILLING: Component = {
  id: "billing",
  name: "Billing",
  model: MODEL,
  tools: { tools: [{ name: "refund_payment", requires_confirmation: true }] },
};
const SUPPORT: Component = {
  id: "support",
  name: "Support desk",
  model: MODEL,
  members: [SHIPPING, BILLING],
  tools: { tools: [{ name: "delegate_task_to_member" }] },
};
const ARTICLE: Component = { id: "travel", name: "Article" };
const TRAVEL: Component = { id: "travel", name: "Travel", model: MODEL };

describe("the directory", () => {
  const directory = toDirectory([SUPPORT, SHIPPING], [CARRIER, BILLING, TRAVEL], [ARTICLE]);

  it("lists teams and agents that are not members of a team", () => {
    expect(directory.teams).toEqual([SUPPORT]);
    expect(directory.agents).toEqual([TRAVEL]);
    expect(directory.workflows).toEqual([ARTICLE]);
  });

  it("tells an agent and a workflow with the same id apart", () => {
    expect(directory.byKey.get(componentKey("agent", "travel"))?.component).toBe(TRAVEL);
    expect(directory.byKey.get(componentKey("workflow", "travel"))?.component).toBe(ARTICLE);
  });

  it("knows members by their ids, and the teams above them", () => {
    expect(directory.byKey.get(componentKey("agent", "carrier"))?.above).toEqual(["Support desk", "Shipping"]);
    expect(isServed(directory, "team", "shipping")).toBe(true);
    expect(isServed(directory, "agent", "shipping")).toBe(false);
  });

  it("shows a leader's own tools only, and which of them ask a person", () => {
    expect(ownTools(SUPPORT)).toEqual([]);
    expect(ownTools(BILLING).map(asksPerson)).toEqual([true]);
  });
});
