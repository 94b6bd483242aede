/** What follows the answer to an action: it may come when the reader has gone on, and their page then stays as it is. */
import { useLayoutEffect, useRef } from "react";
import { currentPath, navigate } from "./hashLocation";
import { tell } from "./notices";

/** Whether the reader is still where an action was begun. */
export type IsHere = () => boolean;

/** Tells later whether the component is still on the page. */
export function useIsMounted(): () => boolean {
  const isMounted = useRef(true);
  useLayoutEffect(
    () => () => {
      isMounted.current = false;
    },
    [],
  );
  return () => isMounted.current;
}

/** Options of an action: its callbacks get an `IsHere`, and a failure is told to a reader who does not see it here. */
export function useFollowUp() {
  const isMounted = useIsMounted();
  return {
    onMutate: (): IsHere => {
      const from = currentPath();
      return () => isMounted() && currentPath() === from;
    },
    onError: (error: Error, _sent: unknown, isHere?: IsHere) => {
      if (!isHere?.()) tell({ text: error.message, isFailure: true });
    },
  };
}

/** Show the result of an action; a reader who has gone on gets the way to it. */
export function leadTo(to: string, text: string, isHere: IsHere): void {
  if (isHere()) navigate(to);
  else tell({ text, to });
}
