import { createContext, useContext } from "react";
import type { StartForm } from "../start/startRequest";

export type StartRun = (componentId?: string | null, form?: Partial<StartForm>) => void;

export const StartContext = createContext<StartRun>(() => undefined);

/** Opens the dialog that starts a run, with a team, agent or workflow chosen or not, and fields that are filled in. */
export function useStartRun(): StartRun {
  return useContext(StartContext);
}
