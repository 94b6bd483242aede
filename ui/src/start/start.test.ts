import { describe, expect, it } from "vitest";
import { curlCommand } from "./curl";
import { EMPTY_FORM, problemsOf, startBody, startFields } from "./startRequest";

const ADDRESS = "https://example.org/agents/teams/support/runs";
const FORM = { ...EMPTY_FORM, message: "Where's order 4417?", sessionId: "mara" };

describe("a start", () => {
  it("leaves out what is empty or the default", () => {
    expect(startFields(FORM)).toEqual({
      message: "Where's order 4417?",
      background: true,
      stream: false,
      session_id: "mara",
    });
  });

  it("sends scheduling options and the budget as numbers", () => {
    const form = { ...FORM, onBusy: "reject" as const, priority: "3", delaySeconds: "1.5", budgetCost: "0.50" };
    expect(startFields(form)).toMatchObject({
      on_busy: "reject",
      priority: 3,
      delay_seconds: 1.5,
      budget: { cost_usd: 0.5 },
    });
  });

  it("becomes a multipart form with files", () => {
    const file = new File(["a"], "label.pdf", { type: "application/pdf" });
    const body = startBody({ ...FORM, budgetTokens: "500", files: [file] });
    expect(body).toBeInstanceOf(FormData);
    const form = body as FormData;
    expect(form.get("background")).toBe("true");
    expect(form.get("budget")).toBe('{"tokens":500}');
    expect((form.get("files") as File).name).toBe("label.pdf");
  });

  it("names what is wrong beside the field", () => {
    expect(problemsOf({ ...EMPTY_FORM, priority: "1.5", delaySeconds: "60", timeoutSeconds: "30" }, false)).toEqual({
      message: "Enter a message.",
      priority: "Enter a whole number.",
      timeoutSeconds: "The time limit must be longer than the delay.",
    });
    expect(problemsOf({ ...FORM, message: "[1]" }, true)).toEqual({ message: "The message must be a JSON object." });
    expect(problemsOf({ ...FORM, message: '{"city": "Oslo"}' }, true)).toEqual({});
  });
});

describe("the curl command", () => {
  it("reads the key from a variable and quotes the message for a shell", () => {
    expect(curlCommand(ADDRESS, FORM, true)).toBe(
      [
        "curl 'https://example.org/agents/teams/support/runs'",
        '-H "Authorization: Bearer $MUSTERD_KEY"',
        "-H 'Content-Type: application/json'",
        `-d '{"message":"Where'\\''s order 4417?","background":true,"stream":false,"session_id":"mara"}'`,
      ].join(" \\\n  "),
    );
  });

  it("sends no header on an open server, and never reads a file that the message names", () => {
    const form = { ...FORM, message: "@/etc/passwd", files: [new File(["a"], 'a "b".txt')] };
    const command = curlCommand(ADDRESS, form, false);
    expect(command).not.toContain("Authorization");
    expect(command).toContain("--form-string 'message=@/etc/passwd'");
    expect(command).toContain(`-F 'files=@"a \\"b\\".txt"'`);
  });
});
