import { Paperclip, X } from "lucide-react";
import { type DragEvent, useRef, useState } from "react";
import { Button } from "../shared/Button";
import { formatBytes } from "../shared/format";

export interface FilePickerProps {
  files: readonly File[];
  onFiles: (files: readonly File[]) => void;
}

/** Files to send with a message: dropped, or chosen. */
export function FilePicker({ files, onFiles }: FilePickerProps) {
  const input = useRef<HTMLInputElement>(null);
  const [isOver, setOver] = useState(false);
  const onDrop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFiles([...files, ...event.dataTransfer.files]);
  };
  return (
    <div>
      <button
        type="button"
        className="file-drop"
        data-over={isOver}
        onClick={() => input.current?.click()}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={onDrop}
      >
        <Paperclip className="icon" aria-hidden="true" />
        Drop files here, or choose
      </button>
      <HiddenInput inputRef={input} onFiles={(chosen) => onFiles([...files, ...chosen])} />
      <FileRows files={files} onFiles={onFiles} />
    </div>
  );
}

export function HiddenInput({
  inputRef,
  onFiles,
}: {
  inputRef: React.RefObject<HTMLInputElement | null>;
  onFiles: (files: File[]) => void;
}) {
  return (
    <input
      ref={inputRef}
      type="file"
      multiple
      hidden
      aria-label="Files"
      onChange={(event) => {
        onFiles([...(event.target.files ?? [])]);
        event.target.value = ""; // so that the same file can be chosen again
      }}
    />
  );
}

export function FileRows({ files, onFiles }: FilePickerProps) {
  if (files.length === 0) return null;
  return (
    <ul aria-label="Attached files">
      {files.map((file, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two files may have the same name
        <li key={index} className="file-row">
          <span className="truncate">{file.name}</span>
          <span className="text-meta text-ink-3">{formatBytes(file.size)}</span>
          <Button
            kind="quiet"
            isIcon
            className="ml-auto"
            aria-label={`Remove ${file.name}`}
            onClick={() => onFiles(files.filter((_, other) => other !== index))}
          >
            <X className="icon-small" aria-hidden="true" />
          </Button>
        </li>
      ))}
    </ul>
  );
}
