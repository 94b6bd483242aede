import { useContext } from "react";
import { StoppedClock } from "../shared/useNow";

/** The mark after a text that is being written; not while it is unknown whether it is. */
export function Caret() {
  return useContext(StoppedClock) === null ? <span className="caret" aria-hidden="true" /> : null;
}
