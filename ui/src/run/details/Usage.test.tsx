import { cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { runStep } from "../fixtures";
import { Usage } from "./Usage";

afterEach(cleanup);

const STEP = runStep("t0/m", 1, 2, { kind: "model", usage: { input_tokens: 416, output_tokens: 5 } });

test("a model call shows its tokens", () => {
  render(<Usage span={{ outcome: "ok" }} step={STEP} />);
  expect(screen.getByText("Tokens").nextSibling?.textContent).toBe("416 in, 5 out");
});

test("a model without a list price is no free one", () => {
  const { rerender } = render(<Usage span={{ outcome: "ok" }} step={STEP} />);
  expect(screen.getByText("Cost").nextSibling?.textContent).toBe("price unknown");
  rerender(<Usage span={{ outcome: "ok" }} step={{ ...STEP, cost: 0 }} />);
  expect(screen.getByText("Cost").nextSibling?.textContent).toBe("$0");
});

test("a try that was cut off does not show the tokens of the attempt after it", () => {
  render(<Usage span={{ outcome: "cut_off" }} step={STEP} />);
  expect(screen.queryByText("Tokens")).toBeNull();
});
