/** Parts of the page whose scripts are loaded when they are shown, and what stands in place of a part that fails. */
import { Component, type ComponentType, lazy, type ReactNode, useState } from "react";
import { Button } from "../shared/Button";
import { ErrorState } from "../shared/PageStates";

/** Like `lazy`, but a script that could not be loaded is asked for again when the part is shown again. */
export function lazyPart<P extends object>(load: () => Promise<{ default: ComponentType<P> }>): ComponentType<P> {
  const attempt = () =>
    lazy(() =>
      load().catch((error) => {
        next = attempt();
        throw error;
      }),
    );
  let next = attempt();
  // biome-ignore lint/correctness/noComponentHookFactories: modules call this once for each part
  return function Part(props: P) {
    const [Shown] = useState(() => next);
    return <Shown {...props} />;
  };
}

interface PartErrorsProps {
  /** Puts what is said of the error into its place. */
  frame: (problem: ReactNode) => ReactNode;
  children: ReactNode;
}

/** An error while rendering, or a script that could not be loaded, such as one that a newer server no longer has. */
export class PartErrors extends Component<PartErrorsProps, { error: unknown }> {
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
    return this.props.frame(
      <>
        <ErrorState error={this.state.error} />
        <div className="px-4 pb-4">
          <Button onClick={() => window.location.reload()}>Reload the page</Button>
        </div>
      </>,
    );
  }
}
