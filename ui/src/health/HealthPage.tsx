export default function HealthPage() {
  return (
    <div className="page">
      <h1>Health</h1>
    </div>
  );
}
