import { Component, lazy, type ReactNode, Suspense } from "react";
import { Redirect, Route, Switch } from "wouter";
import { RunsPage } from "../runs/RunsPage";
import { Button } from "../shared/Button";
import { EmptyState, ErrorState, Skeleton } from "../shared/PageStates";
import { useHashLocation } from "./hashLocation";

const RunPage = lazy(() => import("../run/RunPage"));
const ApprovalsPage = lazy(() => import("../approvals/ApprovalsPage"));
const SessionsPage = lazy(() => import("../sessions/SessionsPage"));
const TeamsPage = lazy(() => import("../teams/TeamsPage"));
const HealthPage = lazy(() => import("../health/HealthPage"));

export function Pages() {
  const id = useRouteId();
  return (
    <PageErrors>
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
    </PageErrors>
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

/** An error while rendering, or a page's script that a newer server no longer has. */
class PageErrors extends Component<{ children: ReactNode }, { error: unknown }> {
  override state = { error: null as unknown };

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override componentDidMount() {
    window.addEventListener("hashchange", this.reset);
  }

  override componentWillUnmount() {
    window.removeEventListener("hashchange", this.reset);
  }

  private readonly reset = () => {
    if (this.state.error) this.setState({ error: null });
  };

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div className="page">
        <h1 className="sr-only">Error</h1>
        <section className="panel">
          <ErrorState error={this.state.error} />
          <div className="px-4 pb-4">
            <Button onClick={() => window.location.reload()}>Reload the page</Button>
          </div>
        </section>
      </div>
    );
  }
}
