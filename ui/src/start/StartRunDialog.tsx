import { Dialog } from "../shared/Dialog";
import { useDraft } from "../shared/drafts";
import { EmptyState, Unread } from "../shared/PageStates";
import { componentKey, type Directory, type DirectoryEntry } from "../teams/component";
import { useDirectory } from "../teams/queries";
import { StartForm } from "./StartForm";
import type { StartForm as Form } from "./startRequest";

export interface StartRunDialogProps {
  onClose: () => void;
  /** The team, agent or workflow that is chosen first. */
  componentId: string | null;
  /** What is filled in. */
  form?: Partial<Form>;
}

/** Starts a run from any page. */
export default function StartRunDialog({ onClose, componentId, form = {} }: StartRunDialogProps) {
  const { directory, error, refetch } = useDirectory();
  return (
    <Dialog title="Start a run" onClose={onClose}>
      {directory === undefined ? (
        <Unread error={error} onRetry={refetch} />
      ) : (
        <Choose directory={directory} componentId={componentId} form={form} onClose={onClose} />
      )}
    </Dialog>
  );
}

function Choose({ directory, componentId, form, onClose }: StartRunDialogProps & { directory: Directory }) {
  const entries = [...directory.byKey.values()];
  // A member may be started on its own, but only where it was asked for.
  const choices = [...entries.filter(({ above }) => above.length === 0), ...entries.filter(isMember)];
  function isMember({ above, component }: DirectoryEntry): boolean {
    return above.length > 0 && component.id === componentId;
  }
  const first = choices.find(({ component }) => component.id === componentId) ?? choices[0];
  const draftKey = `start ${JSON.stringify([componentId, form])}`;
  const [key, setKey] = useDraft(`${draftKey} of`, first ? componentKey(first.kind, first.component.id) : "");
  const chosen = choices.find(({ kind, component }) => componentKey(kind, component.id) === key) ?? first;
  if (chosen === undefined) {
    return (
      <EmptyState title="Nothing to run">The server declares no team, agent or workflow that you can see.</EmptyState>
    );
  }
  return (
    <div className="card-body start-form">
      <label className="field">
        <span>Team, agent or workflow</span>
        <select
          className="input"
          value={componentKey(chosen.kind, chosen.component.id)}
          onChange={(event) => setKey(() => event.target.value)}
        >
          {choices.map(({ kind, component }) => (
            <option key={componentKey(kind, component.id)} value={componentKey(kind, component.id)}>
              {component.name}
            </option>
          ))}
        </select>
      </label>
      <StartForm
        target={{ kind: chosen.kind, id: chosen.component.id }}
        component={chosen.component}
        draftKey={draftKey}
        initial={form}
        onStarted={onClose}
        isFocused
      />
    </div>
  );
}
