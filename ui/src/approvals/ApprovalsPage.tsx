export default function ApprovalsPage({ approvalId }: { approvalId: string | null }) {
  return (
    <div className="page">
      <h1>Approvals</h1>
      <p>{approvalId}</p>
    </div>
  );
}
