import { describe, expect, it } from "vitest";
import { isExact, parseExact } from "../../api/exactJson";
import {
  type Approval,
  argumentsOf,
  decidedArgumentsOf,
  type JsonObject,
  replacedValues,
  type ToolParameters,
} from "../approval";
import { APPROVED, CHECK_IN, DEPLOY, FORM, NEWSLETTER, QUESTIONS, REFUND, ROUTE } from "../fixtures";
import { resolveBody } from "./decision";
import { argumentFields, draftOf, inputFields, readDraft } from "./values";
import { argumentLine, outcomeOf, questionText } from "./wording";

/** As pydantic writes them. */
const PARAMETERS: ToolParameters = {
  properties: {
    euros: { type: "integer", description: "How much." },
    to: { enum: ["card", "voucher"], type: "string" },
    is_final: { default: true, type: "boolean" },
    days: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
  },
};

describe("the words of a question", () => {
  it("asks what the person has to decide", () => {
    expect(questionText(REFUND)).toBe("May Billing call refund_payment?");
    expect(questionText(CHECK_IN)).toBe("Travel needs 2 values for check_in");
    expect(questionText(NEWSLETTER)).toBe("Did the call of send_newsletter happen?");
    expect(questionText(DEPLOY)).toBe("Rollout needs the result of deploy");
    expect(questionText(QUESTIONS)).toBe("Planner has 2 questions for you");
    expect(questionText(ROUTE)).toBe("Which step should answer by run?");
  });

  it("says what was asked once it is decided", () => {
    expect(questionText(APPROVED)).toBe("Billing asked to call refund_payment");
    expect(questionText({ ...CHECK_IN, status: "approved" })).toBe("Travel asked for values for check_in");
    expect(questionText({ ...NEWSLETTER, status: "rejected" })).toBe("A call of send_newsletter was interrupted");
  });

  it("asks about a step of a workflow in the words of its declaration", () => {
    const step = { step_name: "publish", step_input: { input: "tea", previous_step_content: "a draft" } };
    const asked = { ...REFUND, member_name: null, requirements: null, tool_name: "publish", source_name: "Article" };
    expect(questionText({ ...asked, context: { step } })).toBe("May Article run publish?");
    expect(argumentsOf({ ...asked, context: { step } })).toEqual({ input: "a draft" });
    const own = { ...step, confirmation_message: "Publish this article?" };
    expect(questionText({ ...asked, context: { step: own } })).toBe("Publish this article?");
    const failed = { ...step, error_message: "no connection" };
    expect(questionText({ ...asked, context: { step: failed } })).toBe("Try publish again?");
    expect(argumentsOf({ ...asked, context: { step: failed } })).toEqual({ error: "no connection" });
  });

  it("puts the arguments in one line", () => {
    expect(argumentLine(REFUND.tool_args)).toBe("4417 · amount_eur 14.9 · Parcel lost in transit");
    expect(argumentLine({ text: "a".repeat(80), none: null })).toBe(`${"a".repeat(59)}…`);
    expect(argumentLine(null)).toBe("");
  });

  it("shows the values that a person replaced", () => {
    const values = { amount_eur: 10, order_id: "4417", is_final: false };
    const approved: Approval = { ...APPROVED, tool_parameters: PARAMETERS, resolution_data: { values } };
    expect(replacedValues(approved)).toEqual({ amount_eur: 14.9, is_final: true });
    expect(argumentLine(decidedArgumentsOf(approved), replacedValues(approved))).toBe(
      "4417 · amount_eur 14.9 → 10 · Parcel lost in transit · is_final true → false",
    );
    expect(outcomeOf(approved)).toBe("Approved with other values by Ida");
    expect(outcomeOf({ ...approved, resolution_data: { values: { order_id: "4417" } } })).toBe("Approved by Ida");
  });

  it("says who decided", () => {
    expect(outcomeOf(APPROVED)).toBe("Approved by Ida");
    expect(outcomeOf({ ...REFUND, status: "rejected", resolved_by: "expiry" })).toBe("Rejected automatically");
    expect(outcomeOf({ ...CHECK_IN, status: "approved", resolved_by: "client" })).toBe("Answered");
    expect(outcomeOf({ ...REFUND, status: "expired" })).toBe("Expired without a decision");
  });

  it("says what was decided about a call that was cut off", () => {
    const decided = (own: Partial<typeof NEWSLETTER>) => outcomeOf({ ...NEWSLETTER, resolved_by: "Ida", ...own });
    expect(decided({ status: "approved", resolution_data: { result: "sent" } })).toBe("Recorded as happened by Ida");
    expect(decided({ status: "approved" })).toBe("Approved to make again by Ida");
    expect(decided({ status: "rejected" })).toBe("Refused to make again by Ida");
  });
});

describe("the values of a form", () => {
  const fields = inputFields(CHECK_IN);

  it("needs each value that the model did not supply", () => {
    const reading = readDraft(fields, { ...draftOf(fields), bags: "two" }, { mayBeEmpty: false });
    expect(reading.problems).toEqual({ seat: "Enter a value.", bags: "Enter a whole number." });
  });

  it("may lack a value that a step does not require", () => {
    const ofStep = inputFields(FORM);
    const read = (draft: Record<string, string>) =>
      readDraft(ofStep, { ...draftOf(ofStep), ...draft }, { mayBeEmpty: false });
    expect(read({ place: "blog" })).toEqual({ values: { place: "blog" }, problems: {} });
    expect(read({ pages: "2" })).toEqual({ values: { pages: 2 }, problems: { place: "Enter a value." } });
  });

  it("sends what the person typed, in the types of the fields", () => {
    const reading = readDraft(fields, { ...draftOf(fields), seat: "12A", bags: " 2 " }, { mayBeEmpty: false });
    expect(reading).toEqual({ values: { seat: "12A", bags: 2 }, problems: {} });
  });

  it("sends only changed arguments of a call that is approved with other values", () => {
    const args = argumentFields(REFUND);
    const same = readDraft(args, draftOf(args), { mayBeEmpty: true });
    expect(same).toEqual({ values: {}, problems: {} });
    const changed = readDraft(args, { ...draftOf(args), amount_eur: "103.90" }, { mayBeEmpty: true });
    expect(changed.values).toEqual({ amount_eur: 103.9 });
  });

  it.skipIf(isExact)("refuses whole numbers that this browser would round", () => {
    const args = argumentFields({ ...REFUND, tool_args: { order_id: 7, options: { parcel: 7 } } });
    const read = (draft: Record<string, string>) =>
      readDraft(args, { ...draftOf(args), ...draft }, { mayBeEmpty: true }).problems;
    const problem = "This browser rounds whole numbers this large. Use a newer browser.";
    expect(read({ order_id: "1234567890123456789" })).toEqual({ order_id: problem });
    expect(read({ options: '{"parcel": -9007199254740993}' })).toEqual({ options: problem });
    expect(read({ order_id: "1234567890.5", options: '{"parcel": "1234567890123456789"}' })).toEqual({});
  });

  it.runIf(isExact)("reads, shows and sends whole numbers of any size as they are", () => {
    const args = parseExact('{"order_id": 1234567890123456789, "options": {"parcel": 9007199254740993}}') as JsonObject;
    expect(argumentLine(args)).toBe('1234567890123456789 · { "parcel": 9007199254740993 }');
    const form = argumentFields({ ...REFUND, tool_args: args });
    expect(readDraft(form, draftOf(form), { mayBeEmpty: true }).values).toEqual({});
    const draft = { order_id: "1234567890123456788", options: '{"parcel": 9007199254740993, "count": 2}' };
    expect(JSON.stringify(readDraft(form, draft, { mayBeEmpty: true }).values)).toBe(
      '{"order_id":1234567890123456788,"options":{"parcel":9007199254740993,"count":2}}',
    );
  });

  it("has the types, choices and defaults that the tool declares", () => {
    const fields = argumentFields({ ...REFUND, tool_args: { euros: 20, to: "card" }, tool_parameters: PARAMETERS });
    expect(fields.map(({ name, type, value, isLeftOut = false }) => [name, type, value, isLeftOut])).toEqual([
      ["euros", "int", 20, false],
      ["to", "str", "card", false],
      ["is_final", "bool", true, true],
      ["days", "int", null, true],
    ]);
    expect(fields[1]?.options).toEqual(["card", "voucher"]);
    const read = (draft: Record<string, string>) =>
      readDraft(fields, { ...draftOf(fields), ...draft }, { mayBeEmpty: true });
    expect(read({})).toEqual({ values: {}, problems: {} });
    expect(read({ euros: "12.5" }).problems).toEqual({ euros: "Enter a whole number." });
    expect(read({ euros: "12", is_final: "false", days: "3" }).values).toEqual({ euros: 12, is_final: false, days: 3 });
  });

  it("takes a value as it was sent if the tool declares another type", () => {
    const properties = { place: { type: "string" }, count: { anyOf: [{ type: "integer" }, { type: "string" }] } };
    const tool_args = { place: { city: "Bern" }, count: 2 };
    const types = argumentFields({ ...REFUND, tool_args, tool_parameters: { properties } }).map(({ type }) => type);
    expect(types).toEqual(["dict", "float"]);
  });

  it("reads lists and objects as JSON", () => {
    const args = argumentFields({
      ...REFUND,
      tool_args: { tags: ["a"], options: { dry: true }, note: null, dry: false },
    });
    const draft = { tags: '["a", "b"]', options: "[]", note: "", dry: "true" };
    const reading = readDraft(args, draft, { mayBeEmpty: true });
    expect(reading.values).toEqual({ tags: ["a", "b"], dry: true });
    expect(reading.problems).toEqual({ options: 'Enter a JSON object, such as {"a": 1}.' });
  });
});

describe("a decision", () => {
  it("has the shape that the server takes", () => {
    expect(resolveBody({ kind: "approve" })).toEqual({ status: "approved" });
    expect(resolveBody({ kind: "approve", values: { share: 5 } })).toEqual({
      status: "approved",
      resolution_data: { values: { share: 5 } },
    });
    expect(resolveBody({ kind: "reject", note: "  " })).toEqual({ status: "rejected" });
    expect(resolveBody({ kind: "reject", note: "Refund all of it." })).toEqual({
      status: "rejected",
      resolution_data: { note: "Refund all of it." },
    });
    expect(resolveBody({ kind: "result", result: "sent" })).toEqual({
      status: "approved",
      resolution_data: { result: "sent" },
    });
  });
});
