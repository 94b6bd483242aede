import { WifiOff } from "lucide-react";
import { useGoneSince } from "../api/feed";
import { formatClock } from "../shared/format";
import { Banner } from "../shared/PageStates";

/** Says that the server is away: stopped, or not to be reached from here. */
export function ServerGone() {
  const since = useGoneSince();
  return (
    <div role="status" className={since === null ? "sr-only" : "above-page"}>
      {since === null ? null : (
        <Banner tone="fail" icon={WifiOff}>
          {`The server has not answered since ${formatClock(since / 1000)}.`}
          <br />
          <span className="font-normal">
            The page shows the state from that time and reconnects automatically. Runs continue when the server is back.
          </span>
        </Banner>
      )}
    </div>
  );
}
