export default function TeamsPage({ componentId }: { componentId: string | null }) {
  return (
    <div className="page">
      <h1>Teams</h1>
      <p>{componentId}</p>
    </div>
  );
}
