import { cleanup, screen } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import { ApprovalView } from "./ApprovalView";
import { REFUND } from "./fixtures";
import { fakeServer, renderPage } from "./testing";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

it("marks a question that only a person can answer here", () => {
  fakeServer({});
  const { unmount } = renderPage(<ApprovalView approval={{ ...REFUND, approval_type: "required" }} next={undefined} />);
  expect(screen.getByText("only here")).toBeTruthy();
  unmount();
  renderPage(<ApprovalView approval={REFUND} next={undefined} />);
  expect(screen.queryByText("only here")).toBeNull();
});
