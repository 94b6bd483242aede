/** Approvals as a server sent them, for tests. */

import type { Approval } from "./approval";

export const REFUND: Approval = {
  id: "ap-refund",
  run_id: "run-1",
  session_id: "mara",
  status: "pending",
  source_type: "team",
  approval_type: null,
  pause_type: "confirmation",
  tool_name: "refund_payment",
  tool_args: { order_id: "4417", amount_eur: 14.9, reason: "Parcel lost in transit" },
  expires_at: 1_000_000 + 4 * 3600,
  team_id: "support",
  agent_id: "billing",
  workflow_id: null,
  user_id: "mara",
  schedule_id: null,
  schedule_run_id: null,
  source_name: "Support desk",
  context: null,
  updated_at: null,
  requirements: [{ id: "ap-refund", kind: "confirmation", member_agent_name: "Billing" }],
  resolution_data: null,
  resolved_by: null,
  resolved_at: null,
  created_at: 1_000_000,
  run_status: "PAUSED",
  member_name: "Billing",
  member_run_id: "run-1-billing",
  task: "Refund the shipping cost of order 4417 to the card that paid.",
  tool_description: "Pay money back to the card that paid.",
  step_path: "t0/c1/t0/c0",
  default_decision: "reject",
  tool_parameters: null,
};

export const CHECK_IN: Approval = {
  ...REFUND,
  id: "ap-check-in",
  run_id: "run-2",
  pause_type: "user_input",
  tool_name: "check_in",
  tool_args: { flight: "SK 1421" },
  source_name: "Travel",
  member_name: null,
  task: null,
  expires_at: 1_000_000 + 6 * 86_400,
  default_decision: null,
  requirements: [
    {
      id: "ap-check-in",
      kind: "user_input",
      user_input_schema: [
        { name: "flight", field_type: "str", description: "The flight's number.", value: "SK 1421" },
        { name: "seat", field_type: "str", description: null, value: null },
        { name: "bags", field_type: "int", description: null, value: null },
      ],
    },
  ],
};

export const NEWSLETTER: Approval = {
  ...REFUND,
  id: "ap-newsletter",
  run_id: "run-3",
  pause_type: "unknown_outcome",
  tool_name: "send_newsletter",
  tool_args: { list: "riders-eu", subject: "Winter tyres, tested", recipients: 4812 },
  source_name: "Newsroom",
  member_name: "Publisher",
  expires_at: 1_000_000 + 5 * 86_400,
  default_decision: null,
  requirements: [{ id: "ap-newsletter", kind: "unknown_outcome", started_at: 999_990 }],
};

export const DEPLOY: Approval = {
  ...REFUND,
  id: "ap-deploy",
  run_id: "run-4",
  pause_type: "external_execution",
  tool_name: "deploy",
  tool_args: { service: "checkout", version: "2.14.0" },
  source_name: "Release crew",
  member_name: "Rollout",
  expires_at: null,
  default_decision: null,
  requirements: [{ id: "ap-deploy", kind: "external_execution" }],
};

export const QUESTIONS: Approval = {
  ...REFUND,
  id: "ap-questions",
  run_id: "run-5",
  pause_type: "user_input",
  tool_name: "ask_user",
  source_name: "Planner",
  member_name: null,
  requirements: [
    {
      id: "ap-questions",
      kind: "user_input",
      user_feedback_schema: [
        {
          question: "Which region first?",
          header: "Region",
          multi_select: false,
          selected_options: null,
          options: [
            { label: "eu-north", description: "Smallest", selected: false },
            { label: "eu-west", description: null, selected: false },
          ],
        },
        {
          question: "Who is told?",
          header: null,
          multi_select: true,
          selected_options: null,
          options: [
            { label: "Sales", description: null, selected: false },
            { label: "Support", description: null, selected: false },
          ],
        },
      ],
    },
  ],
};

/** A router of a workflow that lets a person choose its steps. */
export const ROUTE: Approval = {
  ...REFUND,
  id: "ap-route",
  run_id: "run-6",
  pause_type: "user_input",
  tool_name: "answer by",
  tool_args: {},
  source_name: "Article",
  member_name: null,
  task: "Write about kettles",
  tool_description: null,
  requirements: [
    {
      id: "ap-route",
      kind: "user_input",
      user_input_schema: [{ name: "selected_choices", field_type: "list", description: null, value: null }],
    },
  ],
  context: {
    step: {
      step_name: "answer by",
      available_choices: ["phone", "letter", "mail"],
      allow_multiple_selections: false,
      step_input: { previous_step_content: "A note on kettles." },
    },
  },
};

/** A step of a workflow that asks for values. */
export const FORM: Approval = {
  ...ROUTE,
  id: "ap-form",
  tool_name: "publish",
  requirements: [
    {
      id: "ap-form",
      kind: "user_input",
      user_input_schema: [
        { name: "place", field_type: "str", description: null, value: null, allowed_values: ["blog", "paper"] },
        { name: "pages", field_type: "int", description: null, value: null, allowed_values: [1, 2], required: false },
      ],
    },
  ],
  context: { step: { step_name: "publish" } },
};

export const APPROVED: Approval = {
  ...REFUND,
  id: "ap-approved",
  status: "approved",
  resolved_by: "Ida",
  resolved_at: 1_000_050,
  run_status: "RUNNING",
};
