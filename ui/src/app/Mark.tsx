/** The mark: three bars of a timeline. */
export function Mark() {
  return (
    <svg className="size-[22px]" viewBox="0 0 24 24" aria-hidden="true">
      <rect width="24" height="24" rx="6" fill="var(--brand)" />
      <g stroke="var(--on-brand)" strokeWidth="2.4" strokeLinecap="round">
        <path d="M6 7.5h9" />
        <path d="M9.5 12H18" />
        <path d="M6 16.5h6" />
      </g>
    </svg>
  );
}
