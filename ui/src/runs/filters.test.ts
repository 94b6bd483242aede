import { expect, test } from "vitest";
import { countFilters, countsQuery, filtersFrom, matches, sinceSeconds } from "./filters";
import { completedRun, runOf } from "./fixtures";

const NOW = new Date(2026, 10, 27, 12, 30, 20);
const filters = (query: string) => filtersFrom(new URLSearchParams(query));

test("filters are read from the URL; what is unknown counts as absent", () => {
  expect(filters("state=needs_you&team=agent:writer&user=mara&session=s1&q=order&since=today")).toEqual({
    state: "needs_you",
    component: "agent:writer",
    user: "mara",
    session: "s1",
    text: "order",
    since: "today",
  });
  expect(filters("state=nonsense&since=ever")).toMatchObject({ state: "all", since: null });
  expect(countFilters(filters("state=failed&q=x&user=y"))).toBe(2);
});

test("they become the server's query", () => {
  const query = countsQuery(filters("team=team:support-desk&user=mara&session=s1&q=order&since=hour"), NOW);
  expect(query).toEqual({
    team_id: "support-desk",
    agent_id: null,
    workflow_id: null,
    user_id: "mara",
    session_id: "s1",
    q: "order",
    created_after: new Date(2026, 10, 27, 11, 30, 20).getTime() / 1000,
  });
  expect(countsQuery(filters("team=agent:writer"), NOW)).toMatchObject({ team_id: null, agent_id: "writer" });
  expect(sinceSeconds("today", NOW)).toBe(new Date(2026, 10, 27).getTime() / 1000);
});

test("a run of the feed is matched like the server does", () => {
  const now = new Date(2_000_000);
  expect(matches(runOf(), filters(""), now)).toBe(true);
  expect(matches(runOf(), filters("state=completed"), now)).toBe(false);
  expect(matches(completedRun(), filters("state=completed&q=NOVEMBER"), now)).toBe(true);
  expect(matches(runOf({ waiting: 1 }), filters("state=needs_you"), now)).toBe(true);
  expect(matches(runOf(), filters("state=needs_you"), now)).toBe(false);
  expect(matches(runOf(), filters("team=team:newsroom"), now)).toBe(false);
  expect(matches(runOf(), filters("team=agent:support-desk"), now)).toBe(false);
  expect(matches(runOf(), filters("user=jonas"), now)).toBe(false);
  expect(matches(runOf({ session_id: "s1" }), filters("session=s1"), now)).toBe(true);
  expect(matches(runOf({ session_id: "s2" }), filters("session=s1"), now)).toBe(false);
  expect(matches(runOf({ created_at: 0 }), filters("since=hour"), new Date(8_000_000))).toBe(false);
});
