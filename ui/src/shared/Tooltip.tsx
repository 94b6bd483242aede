import { type FocusEvent, type MouseEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";

const DELAY_MS = 350;

export interface TooltipProps {
  text: ReactNode;
  children: ReactNode;
  className?: string;
}

/** A short text beside what the pointer or the focus is on. It adds to what is readable without it. */
export function Tooltip({ text, children, className }: TooltipProps) {
  const [anchor, setAnchor] = useState<DOMRect | null>(null);
  const popover = useRef<HTMLDivElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const id = useId();

  const show = (event: MouseEvent | FocusEvent) => {
    const target = event.currentTarget;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setAnchor(target.getBoundingClientRect()), DELAY_MS);
  };
  const hide = () => {
    clearTimeout(timer.current);
    setAnchor(null);
  };

  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    const element = popover.current;
    if (!element || !anchor) return;
    element.showPopover?.();
    placeBeside(element, anchor);
  }, [anchor]);

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only listens; what it wraps takes the focus
    <span
      className={className}
      aria-describedby={anchor ? id : undefined}
      onMouseEnter={show}
      onMouseLeave={hide}
      onFocus={show}
      onBlur={hide}
      onKeyDown={(event) => event.key === "Escape" && hide()}
    >
      {children}
      {anchor ? (
        <div ref={popover} id={id} role="tooltip" popover="manual" className="tooltip">
          {text}
        </div>
      ) : null}
    </span>
  );
}

/** Put a fixed element below `anchor`, or above it where there is no room; never outside the window. */
export function placeBeside(element: HTMLElement, anchor: DOMRect, gap = 6): void {
  const { width, height } = element.getBoundingClientRect();
  const below = anchor.bottom + gap;
  const top = below + height > window.innerHeight - 8 ? Math.max(8, anchor.top - gap - height) : below;
  const left = Math.min(Math.max(8, anchor.left), Math.max(8, window.innerWidth - width - 8));
  element.style.top = `${top}px`;
  element.style.left = `${left}px`;
}
