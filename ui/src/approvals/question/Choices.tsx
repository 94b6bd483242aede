import { useId } from "react";
import { requirementOf } from "../approval";
import type { Question } from "./useQuestion";

/** Questions of the model with answers to choose from. */
export function ChoicesForm({ question }: { question: Question }) {
  const id = useId();
  const questions = requirementOf(question.approval)?.user_feedback_schema ?? [];
  return (
    <div className="question-stack">
      {questions.map((item, index) => {
        const chosen = question.choices[item.question] ?? [];
        const problem = question.problems[item.question];
        const toggle = (label: string, isOn: boolean) => {
          const others = item.multi_select ? chosen.filter((one) => one !== label) : [];
          question.setChoice(item.question, isOn ? [...others, label] : others);
        };
        return (
          <fieldset key={item.question} aria-describedby={problem ? `${id}-${index}` : undefined}>
            <legend className="mb-2 font-semibold">
              {item.question}
              {item.multi_select ? <span className="font-normal text-ink-3"> Choose one or more</span> : null}
            </legend>
            {item.options.map((option) => (
              <label key={option.label} className="choice">
                <input
                  type={item.multi_select ? "checkbox" : "radio"}
                  name={`${id}-${index}`}
                  checked={chosen.includes(option.label)}
                  aria-invalid={problem !== undefined}
                  onChange={(event) => toggle(option.label, event.target.checked)}
                />
                <span>
                  {option.label}
                  {option.description ? <span className="block text-ink-3">{option.description}</span> : null}
                </span>
              </label>
            ))}
            {problem ? (
              <p className="field-problem" id={`${id}-${index}`}>
                {problem}
              </p>
            ) : null}
          </fieldset>
        );
      })}
    </div>
  );
}
