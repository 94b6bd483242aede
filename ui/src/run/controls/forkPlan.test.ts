import { expect, it } from "vitest";
import { memberRun, runStep } from "../fixtures";
import { forkPlan } from "./forkPlan";

const STEPS = [
  runStep("t0/m", 0, 1, { kind: "model", name: "gpt-5" }),
  runStep("t0/c0", 1, 1, { name: "look_up" }),
  runStep("t1/c0", 2, 9, { kind: "delegate", name: "billing" }),
  runStep("t1/c0/t0/c0", 3, 1, { name: "look_up" }),
  runStep("t1/c0/t1/c0", 4, 1, { name: "refund_payment" }),
  runStep("t2/c0", 12, 1, { name: "send_mail" }),
];
const BILLING = memberRun("m1", "Billing", { path: "t1/c0" });

it("keeps the calls of earlier turns and makes those from the step's turn on again", () => {
  expect(forkPlan("t2/c0", STEPS, [BILLING])).toEqual({
    kept: ["look_up", "refund_payment"],
    repeated: ["send_mail"],
    member: null,
  });
});

it("does all the work of a member again whose step was chosen", () => {
  expect(forkPlan("t1/c0/t1/c0", STEPS, [BILLING])).toEqual({
    kept: ["look_up"],
    repeated: ["look_up", "refund_payment", "send_mail"],
    member: BILLING,
  });
});

it("is not possible from a step before the first turn", () => {
  expect(forkPlan("pre0", STEPS, [])).toBeNull();
});
