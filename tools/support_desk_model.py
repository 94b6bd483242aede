"""The model of ``tools/support_desk.py``: it speaks OpenAI's chat completions, and follows a script of realistic texts.

A text with ``GATE`` in it stops there until the gate is opened, so that a picture can show it while it is written.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

GATE = "\N{BLACK SQUARE}"
TOKEN_CHARS = 4


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer of the model.

    :param calls: names and arguments of the tools that it calls.
    :param error: the status and the message of a failure.
    :param seconds: how long it thinks first.
    :param word_seconds: how long it waits before each word.
    """

    text: str = ""
    calls: tuple[tuple[str, Mapping[str, object]], ...] = ()
    error: tuple[int, str] | None = None
    seconds: float = 0.9
    word_seconds: float = 0.03


def say(text: str, seconds: float = 0.9, word_seconds: float = 0.03) -> Turn:
    """Answer a text."""
    return Turn(text=text, seconds=seconds, word_seconds=word_seconds)


def call(*calls: tuple[str, Mapping[str, object]], seconds: float = 1.0) -> Turn:
    """Call tools."""
    return Turn(calls=calls, seconds=seconds)


def ask(**tasks: str) -> Turn:
    """Delegate tasks to members."""
    calls = (("delegate_task_to_member", {"member_id": name, "task": task}) for name, task in tasks.items())
    return call(*calls, seconds=1.4)


NOTE = f"""Handover note for the warehouse, order 4417:

1. Pick one Nordlys X2 (SKU NX2-BLK) from bay C-14; reservation R-20931 holds it until Tuesday 18:00.
2. Pack it with the padded insert, because the first parcel of this order is treated as lost.
3. Ship it by express with signature, and put the new tracking number {GATE}into the order before the pickup at 18:00.
"""
RETURN = """Yes. Order 4398 was delivered on 12 November, so the 30-day window is open until **12 December**.

1. Print the label from your account.
2. Pack the shoes in their box, unworn.
3. Drop the parcel at any PostNord counter.

The refund arrives three to five days after we get the parcel."""
CONTEXT = "This model's maximum context length is 272000 tokens. Your messages resulted in 318411 tokens."

SCRIPT: dict[tuple[str, str], tuple[Turn, ...]] = {
    ("Support desk", "return order 4398"): (
        ask(orders="When was order 4398 delivered, and is it paid?"),
        say(RETURN),
    ),
    ("Orders", "order 4398"): (
        call(("get_order", {"order_id": "4398"})),
        say("Order 4398 is paid in full and was delivered on 12 November."),
    ),
    ("Support desk", "order 4417"): (
        ask(
            orders="Is order 4417 paid in full, and is its refund window open?",
            shipping="Find out where the parcel of order 4417 is (SE4417-88120, PostNord). Can we replace it?",
        ),
        ask(
            shipping="Reserve a replacement for order 4417, and write the handover note for the warehouse.",
            billing="Refund the shipping cost of order 4417, 14.90 EUR: the parcel was lost in transit.",
        ),
        say(
            "I am sorry about your order 4417. Its parcel was last seen in **Hamburg** on 21 November, and we treat it "
            "as lost. A new Nordlys X2 leaves our warehouse today by express, and we have refunded the shipping cost "
            "of **14.90 EUR** to your card."
        ),
    ),
    ("Orders", "order 4417"): (
        call(("get_order", {"order_id": "4417"}), ("list_payments", {"order_id": "4417"})),
        say("Order 4417 is paid in full with Visa 4242, and the refund window is open until 8 December.", 1.9),
    ),
    ("Shipping", "where the parcel of order 4417"): (
        ask(
            carrier="Trace parcel SE4417-88120 with PostNord.",
            warehouse="Is SKU NX2-BLK in stock in Malmö, and when is the next pickup?",
        ),
        say("The last scan of SE4417-88120 was in Hamburg on 21 November. A replacement is in stock in bay C-14.", 1.8),
    ),
    ("Carrier", "SE4417-88120"): (
        call(("track_parcel", {"tracking_no": "SE4417-88120", "carrier": "postnord"})),
        Turn(error=(503, "The model is overloaded. Please try again later."), seconds=0.9),
    ),
    ("Warehouse", "in stock"): (
        call(("stock_level", {"sku": "NX2-BLK"}), ("next_pickup", {"warehouse": "Malmö"})),
        say("14 pieces of NX2-BLK are free in bay C-14. The next pickup is today at 18:00.", 1.5),
    ),
    ("Shipping", "Reserve a replacement"): (
        ask(warehouse="Reserve one NX2-BLK for order 4417."),
        say(NOTE, 0.6, 0.07),
    ),
    ("Warehouse", "Reserve one"): (
        call(("reserve_item", {"sku": "NX2-BLK", "order_id": "4417"})),
        say("Reserved: R-20931, until Tuesday 18:00."),
    ),
    ("Billing", "Refund the shipping cost"): (
        call(("refund_payment", {"order_id": "4417", "amount_eur": 14.9, "reason": "Parcel lost in transit"})),
        say("14.90 EUR went back to Visa 4242.", 0.5),
    ),
    ("Support desk", "invoice of order 4398"): (say("The invoice of order 4398 is in your inbox."),),
    ("Travel", "Check me in"): (call(("check_in", {"flight": "SK 1421"})), say("You are checked in.")),
    ("Release crew", "Smoke-test"): (
        ask(tester="Run the smoke tests of checkout 2.14.0."),
        say("All 214 smoke tests of checkout 2.14.0 passed in 38 s. It can be rolled out."),
    ),
    ("Tester", "smoke tests"): (
        call(("run_smoke_tests", {"version": "checkout 2.14.0"})),
        say("All 214 smoke tests passed in 38 s."),
    ),
    ("Release crew", "roll out"): (
        ask(rollout="Send 10 % of the traffic to checkout 2.14.0."),
        say("Checkout 2.14.0 takes 10 % of the traffic."),
    ),
    ("Rollout", "10 %"): (
        call(("deploy", {"service": "checkout", "version": "2.14.0", "share_percent": 10})),
        say("Checkout 2.14.0 takes 10 % of the traffic."),
    ),
    ("Release crew", "migrate the whole ledger"): (Turn(error=(400, CONTEXT)),),
    ("Release crew", "release notes"): (
        say(f"Reading the change log of 214 commits since 2.13. Most of them are about the new checkout. {GATE}Next"),
    ),
    ("Newsroom", "Winter tyres"): (
        ask(researcher="Which tests of winter tyres were published this month?"),
        say("Three tests were published this month. All agree that studs pay only on ice, so change figure 2."),
    ),
    ("Researcher", "winter tyres"): (
        call(("search_tests", {"topic": "Winter tyres"})),
        say("Three tests: ADAC on 12 November, Vi Bilägare on 18 November and NAF Motor on 24 November."),
    ),
    ("Newsroom", "newsletter"): (
        ask(publisher="Send the newsletter of week 48 to all subscribers."),
        say("The newsletter of week 48 is out."),
    ),
    ("Publisher", "newsletter"): (
        call(("send_newsletter", {"list_name": "subscribers", "subject": "Winter tyres: what the tests say"})),
        say("The newsletter of week 48 is out."),
    ),
}
"""The turns of each member for each task, by a part of the task."""


class SupportDeskModel(ThreadingHTTPServer):
    """Answers at ``base_url`` from the start of the ``with`` block to its end."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.base_url = f"http://127.0.0.1:{self.server_port}/v1"
        self.gate = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.shutdown()
        self.server_close()


class _Exchange(BaseHTTPRequestHandler):
    server: SupportDeskModel

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        turn = _turn(request["messages"])
        time.sleep(turn.seconds)
        with contextlib.suppress(OSError):  # the server under it may have been killed
            if turn.error is not None:
                self._refuse(*turn.error)
            else:
                self._stream(request, turn)

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": None}}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, request: dict[str, Any], turn: Turn) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        head = {"id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion.chunk", "created": int(time.time())}
        head["model"] = request["model"]
        for delta in self._deltas(turn):
            self._send({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        end = "tool_calls" if turn.calls else "stop"
        self._send({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]})
        sent, answered = len(json.dumps(request)) // TOKEN_CHARS, len(f"{turn.text}{turn.calls}") // TOKEN_CHARS
        usage = {"prompt_tokens": sent, "completion_tokens": answered, "total_tokens": sent + answered}
        self._send({**head, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _deltas(self, turn: Turn) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        for word in re.findall(r"\S+\s*", turn.text):
            if word.startswith(GATE):
                self.server.gate.wait()
            time.sleep(turn.word_seconds)
            yield {"content": word.removeprefix(GATE)}
        for index, (name, arguments) in enumerate(turn.calls):
            function = {"name": name, "arguments": json.dumps(arguments)}
            call_id = f"call_{time.time_ns()}_{index}"
            yield {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}

    def _send(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


def _turn(messages: list[dict[str, Any]]) -> Turn:
    """The turn of the script that follows the conversation."""
    last = max(i for i, message in enumerate(messages) if message["role"] == "user")
    system, task = _text(messages[0]), _text(messages[last])
    number = len([message for message in messages[last + 1 :] if message["role"] == "assistant"])
    for (name, part), turns in SCRIPT.items():
        if f"You are {name}." in system and part in task:
            return turns[min(number, len(turns) - 1)]
    raise LookupError(f"the script has no answer to {task!r}")


def _text(message: dict[str, Any]) -> str:
    content = message["content"] or ""
    return content if isinstance(content, str) else "".join(str(part.get("text", "")) for part in content)
