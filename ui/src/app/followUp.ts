/** What follows the answer to an action: it may come when the reader has gone on, and their page then stays as it is. */
import { useLayoutEffect, useRef } from "react";
import { currentPath, navigate } from "./hashLocation";
import { tell } from "./notices";

/** Where an action was begun. */
export interface Origin {
  path: string;
  /** Whether the reader is still there. */
  isHere: () => boolean;
}

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

/** Options of an action: its callbacks get its origin, and a failure is told to a reader who does not see it here. */
export function useFollowUp() {
  const isMounted = useIsMounted();
  return {
    onMutate: (): Origin => {
      const path = currentPath();
      return { path, isHere: () => isMounted() && currentPath() === path };
    },
    onError: ({ message: text }: Error, _sent: unknown, origin?: Origin) => {
      if (origin && !origin.isHere()) tell({ text, isFailure: true, to: origin.path });
    },
  };
}

/** Show the result of an action; a reader who has gone on gets the way to it. */
export function leadTo(to: string, text: string, origin: Origin): void {
  if (origin.isHere()) navigate(to);
  else tell({ text, to });
}
