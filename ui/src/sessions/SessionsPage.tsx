export default function SessionsPage({ sessionId }: { sessionId: string | null }) {
  return (
    <div className="page">
      <h1>Sessions</h1>
      <p>{sessionId}</p>
    </div>
  );
}
