import type { ReactNode } from "react";

/** A name and a value of a step, in a `<dl className="kv">`. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
