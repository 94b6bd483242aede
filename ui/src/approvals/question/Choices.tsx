import { useId } from "react";
import { choicesOf } from "../approval";
import type { Question } from "./useQuestion";

/** Questions with answers to choose from: of the model, or of a router about its steps. */
export function ChoicesForm({ question }: { question: Question }) {
  const id = useId();
  const questions = choicesOf(question.approval) ?? [];
  return (
    <div className="question-stack">
      {questions.map(({ key, text, options, severalText }, index) => {
        const chosen = question.choices[key] ?? [];
        const problem = question.problems[key];
        const toggle = (label: string, isOn: boolean) => {
          const others = severalText === null ? [] : chosen.filter((one) => one !== label);
          question.setChoice(key, isOn ? [...others, label] : others);
        };
        return (
          <fieldset key={key} aria-describedby={problem ? `${id}-${index}` : undefined}>
            <legend className="mb-2 font-semibold">
              {text}
              {severalText === null ? null : <span className="font-normal text-ink-3"> {severalText}</span>}
            </legend>
            {options.map((option) => (
              <label key={option.label} className="choice">
                <input
                  type={severalText === null ? "radio" : "checkbox"}
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
