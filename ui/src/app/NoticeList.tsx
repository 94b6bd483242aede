import { X } from "lucide-react";
import { Link } from "wouter";
import { Button } from "../shared/Button";
import { Banner } from "../shared/PageStates";
import { removeNotice, useNotices } from "./notices";

/** The notices, each until the reader closes it or goes where it leads. */
export function NoticeList() {
  const notices = useNotices();
  return (
    <div role="status" className={notices.length === 0 ? "sr-only" : "above-page grid gap-2"}>
      {notices.map((notice, index) => {
        const remove = () => removeNotice(notice);
        const close = (
          <Button kind="quiet" isIcon aria-label="Close" onClick={remove}>
            <X className="icon" aria-hidden="true" />
          </Button>
        );
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: two may say the same
          <Banner key={index} tone={notice.isFailure ? "fail" : "ok"} end={close}>
            {`${notice.text} `}
            {notice.to === undefined ? null : (
              <Link className="underline" href={notice.to} onClick={remove}>
                Open
              </Link>
            )}
          </Banner>
        );
      })}
    </div>
  );
}
