import type { ButtonHTMLAttributes, ReactNode } from "react";

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "plain" | "primary" | "quiet" | "danger";
  /** A button with an icon alone; it needs an `aria-label`. */
  isIcon?: boolean;
  /** The key that does the same; shown on a desktop only. */
  shortcut?: string;
  children: ReactNode;
}

const KIND_CLASS = { plain: "", primary: " btn-primary", quiet: " btn-quiet", danger: " btn-danger" };

export function Button({ kind = "plain", isIcon, shortcut, className, children, ...rest }: ButtonProps) {
  const names = `btn${KIND_CLASS[kind]}${isIcon ? " btn-icon" : ""}${className ? ` ${className}` : ""}`;
  return (
    <button type="button" className={names} {...rest}>
      {children}
      {shortcut ? (
        <kbd className="only-desk" aria-hidden="true">
          {shortcut}
        </kbd>
      ) : null}
    </button>
  );
}
