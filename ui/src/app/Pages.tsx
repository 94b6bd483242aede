import { type ReactNode, Suspense } from "react";
import { Redirect, Route, Switch } from "wouter";
import { RunsPage } from "../runs/RunsPage";
import { EmptyState, Skeleton } from "../shared/PageStates";
import { useHashLocation } from "./hashLocation";
import { lazyPart, PartErrors } from "./parts";

const RunPage = lazyPart(() => import("../run/RunPage"));
const ApprovalsPage = lazyPart(() => import("../approvals/ApprovalsPage"));
const SessionsPage = lazyPart(() => import("../sessions/SessionsPage"));
const TeamsPage = lazyPart(() => import("../teams/TeamsPage"));
const HealthPage = lazyPart(() => import("../health/HealthPage"));

export function Pages() {
  const id = useRouteId();
  return (
    <PartErrors frame={errorPage}>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/">
            <Redirect to="/runs" replace />
          </Route>
          <Route path="/runs">
            <RunsPage />
          </Route>
          <Route path="/runs/:id">
            <RunPage key={id} runId={id ?? ""} />
          </Route>
          <Route path="/approvals/:id?">
            <ApprovalsPage approvalId={id} />
          </Route>
          <Route path="/sessions/:id?">
            <SessionsPage sessionId={id} />
          </Route>
          <Route path="/teams/:id?">
            <TeamsPage componentId={id} />
          </Route>
          <Route path="/health">
            <HealthPage />
          </Route>
          <Route>
            <div className="page">
              <h1 className="sr-only">Unknown page</h1>
              <section className="panel">
                <EmptyState
                  title="This page does not exist"
                  actions={
                    <a className="btn" href="#/runs">
                      Open Runs
                    </a>
                  }
                />
              </section>
            </div>
          </Route>
        </Switch>
      </Suspense>
    </PartErrors>
  );
}

/** The id in the page's place. Ids are free text, so this reads them raw: wouter has decoded its parameters once. */
function useRouteId(): string | null {
  const segment = useHashLocation()[0].split("/")[2];
  try {
    return segment ? decodeURIComponent(segment) : null;
  } catch {
    return segment ?? null;
  }
}

function Loading() {
  return (
    <div className="page">
      <section className="panel">
        <Skeleton />
      </section>
    </div>
  );
}

function errorPage(problem: ReactNode) {
  return (
    <div className="page">
      <h1 className="sr-only">Error</h1>
      <section className="panel">{problem}</section>
    </div>
  );
}
