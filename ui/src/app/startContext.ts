import { createContext, useContext } from "react";

export type StartRun = (componentId?: string | null) => void;

export const StartContext = createContext<StartRun>(() => undefined);

/** Opens the dialog that starts a run, with a team, agent or workflow chosen or not. */
export function useStartRun(): StartRun {
  return useContext(StartContext);
}
