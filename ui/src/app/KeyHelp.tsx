import { Dialog } from "../shared/Dialog";
import { HELP_KEY, useKeyGroups, useSingleKeys } from "../shared/keyboard";

const NAMES: Record<string, string> = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc" };

/** All keys of the page that is open. */
export function KeyHelp({ onClose }: { onClose: () => void }) {
  const groups = useKeyGroups();
  const [isOn, setOn] = useSingleKeys();
  return (
    <Dialog title="Keys" onClose={onClose}>
      <div className="card-body">
        {groups
          .toReversed()
          .filter((group) => group.bindings.length > 0)
          .map((group) => (
            <section key={group.title} className="mb-4">
              <h3 className="mb-2">{group.title}</h3>
              <dl className="grid grid-cols-[88px_minmax(0,1fr)] gap-y-1.5">
                {group.bindings.map((binding) => (
                  <div key={binding.keys} className="contents">
                    <dt className="flex gap-1">
                      {binding.keys.split(" ").map((key, index) => (
                        // biome-ignore lint/suspicious/noArrayIndexKey: the keys of one binding never change
                        <kbd key={index}>{NAMES[key] ?? key}</kbd>
                      ))}
                    </dt>
                    <dd>{binding.label}</dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
        <label className="flex min-h-10 items-center gap-2">
          <input type="checkbox" checked={isOn} onChange={(event) => setOn(event.target.checked)} />
          <span>
            Use single keys; without them <kbd>{HELP_KEY}</kbd> still opens this list
          </span>
        </label>
      </div>
    </Dialog>
  );
}
