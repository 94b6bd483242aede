import { X } from "lucide-react";
import { type ReactNode, useId, useLayoutEffect, useRef } from "react";
import { useCloseOnBack } from "../app/dialogHistory";
import { Button } from "./Button";

export interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
  /** Hide the title for the eye; it still names the dialog. */
  isTitleHidden?: boolean;
  /** Only its own controls close it. */
  isFixed?: boolean;
  /** The URL says that it is open, so Back closes it without an entry of its own in the history. */
  isInUrl?: boolean;
}

/** A modal dialog: the native element, which keeps the focus inside and gives it back. Mount it to open it. */
export function Dialog(props: DialogProps) {
  const { title, onClose, children, isTitleHidden = false, isFixed = false, isInUrl = false } = props;
  const element = useRef<HTMLDialogElement>(null);
  const isPressed = useRef(false);
  const isWritten = useRef(false);
  const titleId = useId();
  useCloseOnBack(onClose, !isFixed && !isInUrl);
  useLayoutEffect(() => {
    const dialog = element.current;
    const opener = document.activeElement;
    if (dialog && !dialog.open) dialog.showModal();
    return () => {
      dialog?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a native dialog; the click is on its backdrop
    <dialog
      ref={element}
      className="dialog"
      aria-labelledby={titleId}
      closedby={isFixed ? "none" : undefined} // a second Escape closes a dialog whatever its listeners do
      onCancel={(event) => {
        if (event.target !== event.currentTarget) return; // of a file chooser in the dialog
        event.preventDefault();
        if (!isFixed) onClose();
      }}
      onInput={(event) => {
        isWritten.current ||= event.target instanceof HTMLTextAreaElement;
      }}
      onPointerDown={(event) => {
        isPressed.current = event.target === element.current;
      }}
      onClick={(event) => {
        // The click after a drag out of the dialog, such as a selection of text, is on the backdrop too.
        const isBeside = isPressed.current && event.target === element.current;
        if (isBeside && !isFixed && !isWritten.current) onClose(); // what is written is not lost to a slip
      }}
    >
      <div className={isTitleHidden ? "sr-only" : "card-head"}>
        <h2 id={titleId}>{title}</h2>
        {isTitleHidden || isFixed ? null : (
          <Button kind="quiet" isIcon className="ml-auto" aria-label="Close" onClick={onClose}>
            <X className="icon" aria-hidden="true" />
          </Button>
        )}
      </div>
      {children}
    </dialog>
  );
}
