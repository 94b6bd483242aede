import { act, cleanup, render, screen } from "@testing-library/preact";
import { afterEach, expect, test } from "vitest";
import { Router, useLocation } from "wouter";
import { navigate, useHashLocation, useHashSearch, useParams, useRedirect } from "./hashLocation";

afterEach(cleanup);

function Place() {
  const [location] = useLocation();
  const [params, change] = useParams();
  return (
    <>
      <p>{`${location} state=${params.get("state")} q=${params.get("q")}`}</p>
      <button type="button" onClick={() => change({ state: null, q: "a b" }, { replace: true })}>
        change
      </button>
    </>
  );
}

test("path and query stand after the hash", () => {
  window.location.hash = "#/runs?state=failed";
  render(
    <Router hook={useHashLocation} searchHook={useHashSearch}>
      <Place />
    </Router>,
  );
  expect(screen.getByText("/runs state=failed q=null")).toBeTruthy();
  act(() => screen.getByText("change").click());
  expect(window.location.hash).toBe("#/runs?q=a+b");
  expect(screen.getByText("/runs state=null q=a b")).toBeTruthy();
  act(() => {
    navigate("/health");
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  });
  expect(screen.getByText("/health state=null q=null")).toBeTruthy();
});

function Redirected() {
  useRedirect("/runs/a b", "/runs/root");
  return null;
}

test.each([
  ["#/runs/a%20b?view=transcript", "#/runs/root"],
  ["#/health", "#/health"],
])("a redirect leads away from its own place alone: %s", (place, expected) => {
  window.history.replaceState(null, "", place); // the user has left the place, and the page does not know it yet
  render(<Redirected />);
  expect(window.location.hash).toBe(expected);
});
