import { useConnection, useGoneSince } from "../api/feed";
import { Button } from "../shared/Button";
import { formatTime } from "../shared/format";
import { Dot } from "../shared/Status";
import type { Tone } from "../shared/status";

const SHOWN: Record<string, { tone: Tone; text: string; title: string }> = {
  live: { tone: "ok", text: "Live", title: "Changes arrive as they happen" },
  connecting: { tone: "idle", text: "Connecting", title: "The page opens its connection" },
  reconnecting: { tone: "fail", text: "Reconnecting", title: "The connection was lost; what is on the page stays" },
  polling: { tone: "idle", text: "Every 3 s", title: "The page asks for changes every few seconds" },
};

/** Whether what is on the page is current. */
export function ConnectionState() {
  const { name, lastMessageAt, isNewer } = useConnection();
  const goneSince = useGoneSince();
  const shown = SHOWN[name];
  if (isNewer) {
    return (
      <Button kind="quiet" title="The server has a newer version of this page" onClick={() => window.location.reload()}>
        Reload for the new version
      </Button>
    );
  }
  if (!shown) return null;
  const isUsual = name === "live" || name === "connecting";
  const last = name === "reconnecting" && lastMessageAt ? `, last change ${formatTime(lastMessageAt / 1000)}` : "";
  return (
    <div className={isUsual ? "connection is-usual" : "connection"} role="status" title={shown.title + last}>
      <Dot tone={shown.tone} />
      <span>{goneSince === null ? shown.text : "No answer"}</span>
    </div>
  );
}
