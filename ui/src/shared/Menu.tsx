import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { Button } from "./Button";
import { placeBeside } from "./Tooltip";

export interface MenuItem {
  label: string;
  icon?: ReactNode;
  onSelect: () => void;
  isDisabled?: boolean;
  isDanger?: boolean;
}

export interface MenuProps {
  label: string;
  icon: ReactNode;
  items: MenuItem[];
  /** Without a border, as in the top bar. */
  isQuiet?: boolean;
}

/** A button that opens a menu; arrows walk in it, Escape closes it. */
export function Menu({ label, icon, items, isQuiet = false }: MenuProps) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLDivElement>(null);
  const menu = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const element = menu.current;
    if (!isOpen || !element || !button.current) return;
    element.showPopover?.();
    const anchor = button.current.getBoundingClientRect();
    const { width } = element.getBoundingClientRect();
    placeBeside(element, new DOMRect(Math.max(0, anchor.right - width), anchor.top, anchor.width, anchor.height));
    element.querySelector<HTMLElement>("[role=menuitem]:enabled")?.focus();
    const onPointer = (event: PointerEvent) => {
      const target = event.target as Node;
      if (!element.contains(target) && !button.current?.contains(target)) setOpen(false);
    };
    document.addEventListener("pointerdown", onPointer);
    return () => document.removeEventListener("pointerdown", onPointer);
  }, [isOpen]);

  const close = () => {
    setOpen(false);
    button.current?.querySelector("button")?.focus();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const entries = [...(menu.current?.querySelectorAll<HTMLElement>("[role=menuitem]:enabled") ?? [])];
    const index = entries.indexOf(document.activeElement as HTMLElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (step) entries[(index + step + entries.length) % entries.length]?.focus();
    else if (event.key === "Home") entries[0]?.focus();
    else if (event.key === "End") entries.at(-1)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div ref={button} className="inline-flex">
      <Button
        isIcon
        kind={isQuiet ? "quiet" : "plain"}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        onClick={() => setOpen((wasOpen) => !wasOpen)}
      >
        {icon}
      </Button>
      {isOpen ? (
        <div
          ref={menu}
          role="menu"
          aria-label={label}
          popover="manual"
          className="menu"
          tabIndex={-1}
          onKeyDown={onKeyDown}
        >
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              className={item.isDanger ? "menu-item text-fail" : "menu-item"}
              disabled={item.isDisabled}
              onClick={() => {
                close();
                item.onSelect();
              }}
            >
              {item.icon}
              {item.label}
            </button>
          ))}
        </div>
      ) : null}
    </div>
  );
}
