/**
 * JSON with whole numbers above 2^53, which `JSON.parse` rounds: they are `bigint` here, and `JSON.stringify` writes them
 * as they were. Browsers before Chromium 114, Firefox 135 and Safari 18.4 cannot: they round what is read.
 */
const rawJson = (JSON as { rawJSON?: (text: string) => unknown }).rawJSON;

/** Whether such numbers can be sent. */
export const isExact = rawJson !== undefined;

if (rawJson !== undefined) {
  Object.defineProperty(BigInt.prototype, "toJSON", {
    value(this: bigint) {
      return rawJson(String(this));
    },
  });
}

/** As many digits as the first whole number has that is rounded. A reviver is slow, and most texts need none. */
const LONG_NUMBER = /\d{16}/;

/** @param refuse is called if this browser rounds a number of the text. */
export function parseExact(text: string, refuse?: () => never): unknown {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_name, value: unknown, context?: { source?: string }) => {
    if (!Number.isInteger(value) || Number.isSafeInteger(value)) return value;
    if (!isExact) return refuse === undefined ? value : refuse();
    const source = context?.source ?? "";
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

/** The data of an answer that is asked for with `parseAs: "text"`. */
export async function exactDataOf<T>(answer: Promise<{ data?: string }>): Promise<T> {
  return parseExact((await answer).data ?? "") as T;
}
