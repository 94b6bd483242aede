export default function RunPage({ runId }: { runId: string }) {
  return (
    <div className="page">
      <h1>Run</h1>
      <p>{runId}</p>
    </div>
  );
}
