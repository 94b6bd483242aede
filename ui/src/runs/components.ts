/** The teams, agents and workflows of the server, by which runs are filtered. */
import { useQuery } from "@tanstack/react-query";
import { dataOf } from "musterd-client";
import { api } from "../api/client";
import type { ComponentKind } from "../api/types";

interface ComponentItem {
  id: string | null;
  name: string | null;
}

export interface ComponentOption {
  /** As in the URL: `team:ID`. */
  value: string;
  label: string;
}

export function useComponentOptions(): ComponentOption[] {
  const teams = useComponents("team");
  const agents = useComponents("agent");
  const workflows = useComponents("workflow");
  return [...teams, ...agents, ...workflows];
}

/** The name of a component as the URL has it, or its id where there is no such component any more. */
export function componentLabel(options: readonly ComponentOption[], value: string): string {
  return options.find((option) => option.value === value)?.label ?? value.replace(/^(team|agent|workflow):/, "");
}

function useComponents(kind: ComponentKind): ComponentOption[] {
  const { data = [] } = useQuery({
    queryKey: ["components", kind, "names"],
    queryFn: ({ signal }) => dataOf<ComponentItem[]>(api.GET(`/${kind}s`, { signal })),
    staleTime: 60_000,
  });
  return data.flatMap(({ id, name }) => (id ? [{ value: `${kind}:${id}`, label: name || id }] : []));
}
