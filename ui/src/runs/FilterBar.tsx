import type { RunCounts, RunSummary } from "../api/types";
import type { ParamChanges } from "../app/hashLocation";
import { Chip } from "../shared/Chip";
import { type ComponentOption, componentLabel } from "./components";
import { type Filters, SINCE_LABEL, STATE_FILTERS } from "./filters";

export interface FilterBarProps {
  filters: Filters;
  counts: RunCounts | undefined;
  components: readonly ComponentOption[];
  /** Their users can be chosen. */
  runs: readonly RunSummary[];
  onChange: (changes: ParamChanges) => void;
}

/** Chips with counts, and what else narrows the list; all of it is in the URL. */
export function FilterBar({ filters, counts, components, runs, onChange }: FilterBarProps) {
  const users = [...new Set([filters.user, ...runs.map((run) => run.user_id)])].filter((user) => user !== null).sort();
  return (
    <div className="run-filters">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset cannot be laid out as one row in a grid */}
      <div className="chips" role="group" aria-label="Status">
        {STATE_FILTERS.map((filter) => (
          <Chip
            key={filter.name}
            isPressed={filters.state === filter.name}
            onPress={() => onChange({ state: filter.name === "all" ? null : filter.name })}
            count={counts?.[filter.count]}
            tone={filter.tone && counts?.[filter.count] ? filter.tone : undefined}
          >
            {filter.label}
          </Chip>
        ))}
      </div>
      <div className="selects">
        <select
          className="select"
          aria-label="Team, agent or workflow"
          value={filters.component ?? ""}
          onChange={(event) => onChange({ team: event.target.value })}
        >
          <option value="">All teams</option>
          {filters.component && !components.some(({ value }) => value === filters.component) ? (
            <option value={filters.component}>{componentLabel(components, filters.component)}</option>
          ) : null}
          {components.map(({ value, label }) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        {users.length > 0 ? (
          <select
            className="select"
            aria-label="User"
            value={filters.user ?? ""}
            onChange={(event) => onChange({ user: event.target.value })}
          >
            <option value="">All users</option>
            {users.map((user) => (
              <option key={user} value={user}>
                {user}
              </option>
            ))}
          </select>
        ) : null}
        <select
          className="select"
          aria-label="Time"
          value={filters.since ?? ""}
          onChange={(event) => onChange({ since: event.target.value })}
        >
          <option value="">Any time</option>
          {Object.entries(SINCE_LABEL).map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}
