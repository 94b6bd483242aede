import { useQuery } from "@tanstack/react-query";
import { apiUrl } from "../api/client";
import { meQuery } from "../api/queries";
import { CurlDialog } from "./CurlDialog";
import { curlCommand } from "./curl";
import { EMPTY_FORM, type RunTarget, runsPath } from "./startRequest";

/** The command that starts a first run. */
export default function FirstRunCurl({ target, onClose }: { target: RunTarget; onClose: () => void }) {
  const me = useQuery(meQuery);
  const form = { ...EMPTY_FORM, message: "Hello" };
  const command = curlCommand(apiUrl(runsPath(target)), form, me.data?.auth_required ?? true);
  return <CurlDialog command={command} hasFiles={false} onClose={onClose} />;
}
