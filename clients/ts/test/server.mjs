// A server whose answers a test writes down: the `fetch` of a client, which records the requests.

export function scripted(...answers) {
  const requests = [];
  const fetch = async (request, init = {}) => {
    requests.push(request);
    const answer = answers[Math.min(requests.length, answers.length) - 1];
    const value = typeof answer === "function" ? await answer(request, init) : answer;
    if (value instanceof Error) throw value;
    return value.clone();
  };
  return { fetch, requests };
}

export function json(body, status = 200, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });
}

// A stream of events that ends after them, or breaks.
export function events(list, { isBroken = false } = {}) {
  return () => {
    const body = new ReadableStream({
      start(controller) {
        for (const event of list) {
          const text = `id: ${event.event_index}\nevent: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`;
          controller.enqueue(new TextEncoder().encode(text));
        }
        if (isBroken) controller.error(new TypeError("terminated"));
        else controller.close();
      },
    });
    const response = new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
    response.clone = () => response;
    return response;
  };
}

export function event(index, name = "TeamRunContent", more = {}) {
  return { event: name, event_index: index, run_id: "r1", nested_depth: 0, ...more };
}
