import { useQuery } from "@tanstack/react-query";
import { CircleUser, LogOut } from "lucide-react";
import { signOut, useAuth } from "../api/auth";
import { meQuery } from "../api/queries";
import { Menu } from "../shared/Menu";

/** Who is signed in, and how to sign out; nothing where the server asks for no key. */
export function AccountMenu() {
  const { key } = useAuth();
  const { data: me } = useQuery({ ...meQuery, enabled: key !== null });
  if (key === null) return null;
  const name = me?.name ?? me?.user_id ?? (me?.principal === "security_key" ? "the server's key" : "a key");
  return (
    <Menu
      label={`Account: ${name}`}
      icon={<CircleUser className="icon" aria-hidden="true" />}
      isQuiet
      items={[
        {
          label: `Sign out ${name === "a key" ? "" : `(${name})`}`.trim(),
          icon: <LogOut className="icon" aria-hidden="true" />,
          onSelect: () => {
            signOut();
            window.location.reload(); // nothing that this key could see stays in memory
          },
        },
      ]}
    />
  );
}
