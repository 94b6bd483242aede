"""Plays one turn of ``local``: our code decides as much as possible, and the model answers small questions.

| turn | our code | the model |
|---|---|---|
| leader, before results | splits the request, keeps the order, passes clauses on verbatim | picks a member per clause |
| leader, with results | joins the replies in order | answers clauses that no member got |
| agent with one tool, before results | calls the tool | fills in the arguments of one or several calls |
| agent with several tools | refuses to repeat a call | picks a tool with its arguments, or answers |
| agent, with results | – | answers from the results |
| agent without tools | – | answers |
"""

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from musterd.core import clock
from musterd.core.errors import ModelFailed
from musterd.core.records import Usage
from musterd.models.clauses import Member, joined, members_of, parts_of, pick_by_words, split_request
from musterd.models.local import decode
from musterd.models.scripted_plan import BROADCAST, DELEGATE, Call

Body = Mapping[str, Any]
Function = Mapping[str, Any]
Piece = str | Call
LONG_TOKENS = 50
"""A prompt with so many unread tokens takes a second or more, so its reading is reported."""
REPORT_SECONDS = 1.0
"""How often it is reported at most. llama.cpp says how far it is after each batch of 2,048 tokens."""

_INSTRUCTIONS = re.compile(r"<instructions>\n(.*?)\n</instructions>", re.DOTALL)


class TextGenerator(Protocol):
    """The part of :class:`musterd.models.local.runtime.Runtime` that is used here."""

    def stream(self, key: str, body: Body) -> AsyncGenerator[Mapping[str, Any]]:
        """Generate, chunk by chunk."""


class Prompter:
    """Sends prompts to the model and counts their tokens.

    :ivar on_read: called when the model begins to read a long prompt, sometimes in between, and when it has read it,
        with the tokens that it has read and the length of the prompt.
    """

    def __init__(self, runtime: TextGenerator) -> None:
        self._runtime = runtime
        self._next_report_at = 0.0
        self.usage = Usage()
        self.on_read: Callable[[int, int], None] | None = None

    async def text(self, key: str, body: Body) -> AsyncGenerator[str]:
        """The answer in pieces."""
        async with aclosing(self._chunks(key, body)) as chunks:
            async for chunk in chunks:
                for choice in chunk.get("choices") or ():
                    if text := choice["delta"].get("content"):
                        yield text

    async def full_text(self, key: str, body: Body) -> str:
        """The whole answer."""
        async with aclosing(self.text(key, body)) as pieces:
            return "".join([piece async for piece in pieces])

    async def scores(self, body: Body, count: int) -> list[float]:
        """The scores of the first ``count`` letters."""
        scores: list[float] | None = None
        async with aclosing(self._chunks("choose", body)) as chunks:
            async for chunk in chunks:
                scores = scores or decode.letter_scores(chunk, count)
        return scores or [0.0] * count

    async def _chunks(self, key: str, body: Body) -> AsyncGenerator[Mapping[str, Any]]:
        self._next_report_at = 0.0
        async with aclosing(self._runtime.stream(key, body)) as chunks:
            async for chunk in chunks:
                if progress := chunk.get("prompt_progress"):
                    self._report_read(progress["processed"], progress["total"])
                    continue
                if usage := chunk.get("usage"):
                    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
                    self.usage.add(
                        Usage(
                            input_tokens=usage["prompt_tokens"],
                            output_tokens=usage["completion_tokens"],
                            cache_read_tokens=cached,
                        )
                    )
                yield chunk

    def _report_read(self, read_tokens: int, prompt_tokens: int) -> None:
        """Report it if a report is due: when the model begins to read a long prompt, and when it has read it."""
        if self.on_read is None:
            return
        now, is_read = clock.monotonic(), read_tokens >= prompt_tokens
        if is_read and self._next_report_at:
            self._next_report_at = 0.0
            self.on_read(read_tokens, prompt_tokens)
        elif now >= self._next_report_at and prompt_tokens - read_tokens >= LONG_TOKENS:
            self._next_report_at = now + REPORT_SECONDS
            self.on_read(read_tokens, prompt_tokens)


@dataclass(slots=True, kw_only=True)
class Turn:
    """One turn of an agent or leader.

    :param bias: the model's scores for neutral requests, by options. The caller keeps it from turn to turn.
    :param schema: the JSON schema of the final answer, or None.
    """

    messages: Sequence[Mapping[str, Any]]
    functions: Sequence[Function]
    bias: dict[tuple[str, ...], list[list[float]]]
    schema: Mapping[str, Any] | None = None
    system: str = field(init=False)
    request: str = field(init=False)
    later_messages: Sequence[Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        roles = [(message["role"], index) for index, message in enumerate(self.messages)]
        systems = [self.messages[index]["content"] for role, index in roles if role == "system"]
        users = [index for role, index in roles if role == "user"]
        self.system = "\n\n".join(systems)
        self.request = self.messages[users[-1]]["content"] if users else ""
        self.later_messages = self.messages[users[-1] + 1 :] if users else []

    @property
    def tool_results(self) -> list[tuple[Call, str]]:
        """The tool calls of this run and their results, in the order of the calls."""
        tool_messages = [message for message in self.later_messages if message["role"] == "tool"]
        returned = {message["tool_call_id"]: message["content"] for message in tool_messages}
        calls = [call for message in self.later_messages for call in message.get("tool_calls") or ()]
        return [(_parse_call(item["function"]), returned[item["id"]]) for item in calls if item["id"] in returned]

    @property
    def results(self) -> list[str]:
        """The results of this run's tool calls."""
        return [result for _, result in self.tool_results]

    async def run(self, prompter: Prompter) -> AsyncGenerator[Piece]:
        """Play the turn. It consists of pieces of text, or of tool calls."""
        names = {function["name"] for function in self.functions}
        if DELEGATE in names:
            turn_pieces = self._join_replies(prompter) if self.results else self._delegate(prompter)
        elif BROADCAST in names:
            turn_pieces = self._join_replies(prompter) if self.results else self._broadcast()
        elif not self.functions:
            turn_pieces = self._answer(prompter)
        elif len(self.functions) == 1:
            turn_pieces = self._answer(prompter) if self.results else self._call_tool(prompter, self.functions[0])
        else:
            turn_pieces = self._choose_tool(prompter)
        async with aclosing(turn_pieces) as pieces:
            async for piece in pieces:
                yield piece

    async def _delegate(self, prompter: Prompter) -> AsyncGenerator[Piece]:
        """Delegate each clause to the member, or call the tool, that it fits. If none fits any clause, answer."""
        members = members_of(self.system)
        tools = [function for function in self.functions if function["name"] not in (DELEGATE, BROADCAST)]
        options = [*map(decode.member_option, members), *map(decode.tool_option, tools)][: decode.MAX_OPTIONS]
        has_called = False
        for clause, option_index in await self._routes(prompter, members, options):
            if option_index is None:
                continue
            has_called = True
            if option_index < len(members):
                yield Call(name=DELEGATE, args={"member_id": members[option_index].id, "task": clause})
            else:
                for call in await self._calls_with_arguments(prompter, tools[option_index - len(members)], clause):
                    yield call
        if not has_called:
            async with aclosing(self._answer(prompter)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _routes(
        self, prompter: Prompter, members: Sequence[Member], options: Sequence[str]
    ) -> list[tuple[str, int | None]]:
        """Each clause and the index of its option. A clause is split if its parts belong to different options."""
        routes: list[tuple[str, int | None]] = []
        for clause in split_request(self.request):
            parts = parts_of(clause)
            option_indexes = [await self._route(prompter, part, members, options) for part in parts]
            if None in option_indexes or len(set(option_indexes)) == 1 < len(parts):
                parts, option_indexes = [clause], [await self._route(prompter, clause, members, options)]
            routes.extend(zip(parts, option_indexes, strict=True))
        return routes

    async def _route(
        self, prompter: Prompter, clause: str, members: Sequence[Member], options: Sequence[str]
    ) -> int | None:
        """The index of the option for ``clause``. If the model picks nobody, a member with shared words is used."""
        if not options:
            return None
        option_index = await self._choose_option(prompter, clause, options)
        if option_index is None and (member := pick_by_words(clause, members)):
            return members.index(member)
        return option_index

    async def _choose_option(self, prompter: Prompter, clause: str, options: Sequence[str]) -> int | None:
        letter_count = len(options) + 1
        bias = self.bias.get(tuple(options))
        if bias is None:
            prompts = [decode.routing_prompt(text, options) for text in decode.NEUTRAL]
            neutral_scores = [await prompter.scores(prompt, letter_count) for prompt in prompts]
            bias = self.bias[tuple(options)] = neutral_scores
        return decode.best_option(await prompter.scores(decode.routing_prompt(clause, options), letter_count), bias)

    async def _broadcast(self) -> AsyncGenerator[Piece]:
        yield Call(name=BROADCAST, args={"task": self.request})

    async def _join_replies(self, prompter: Prompter) -> AsyncGenerator[Piece]:
        """Join the replies in the order of the request, and answer the clauses that were not delegated."""
        replies = {str(call.args.get("task")): result for call, result in self.tool_results if call.name == DELEGATE}
        own_results = [result for call, result in self.tool_results if call.name not in (DELEGATE, BROADCAST)]
        clauses = [part for clause in split_request(self.request) for part in _split_as_delegated(clause, replies)]
        if self.schema is not None:
            yield await self._structured_answer(prompter)
            return
        if not replies.keys() <= set(clauses) or not (replies or own_results):
            yield joined(self.results)
            return
        for position, clause in enumerate(clauses):
            if position:
                yield "\n\n"
            if clause in replies:
                yield replies[clause].strip()
                continue
            if own_results:
                key, body = "tell", decode.answer_prompt(clause, own_results)
            else:
                key, body = "chat", decode.chat_prompt([_user_message(clause)], self._own_instructions)
            async with aclosing(prompter.text(key, body)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _call_tool(self, prompter: Prompter, function: Function) -> AsyncGenerator[Piece]:
        for call in await self._calls_with_arguments(prompter, function, self.request):
            yield call

    async def _calls_with_arguments(self, prompter: Prompter, function: Function, request: str) -> list[Call]:
        """Calls of ``function`` with arguments from ``request``."""
        if not decode.parameters_of(function).get("properties"):
            return [Call(name=function["name"], args={})]
        arguments = decode.read_calls(await prompter.full_text("fill", decode.arguments_prompt(function, request)))
        if not arguments:
            raise ModelFailed(
                f"The local model found no arguments for {function['name']}. Try again, or use a larger model."
            )
        return [Call(name=function["name"], args=args) for args in arguments]

    async def _choose_tool(self, prompter: Prompter) -> AsyncGenerator[Piece]:
        """Call one of several tools, or answer. If the model repeats a call, answer instead."""
        body = decode.tool_prompt(self.functions, self._own_instructions, self.request, self.results)
        choice = decode.read_json(await prompter.full_text(f"choose {self.system}", body)) or {}
        call = Call(name=choice["tool"], args=choice["args"]) if "tool" in choice else None
        if call is not None and call not in [earlier_call for earlier_call, _ in self.tool_results]:
            yield call
        elif "answer" in choice and self.schema is None:
            yield choice["answer"]
        else:
            async with aclosing(self._answer(prompter)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _answer(self, prompter: Prompter) -> AsyncGenerator[Piece]:
        """Answer from the results if there are any, otherwise from the conversation."""
        if self.schema is not None:
            yield await self._structured_answer(prompter)
            return
        if self.results:
            key, body = "tell", decode.answer_prompt(self.request, self.results)
        else:
            key, body = f"chat {self._own_instructions}", decode.chat_prompt(self.messages, self._own_instructions)
        async with aclosing(prompter.text(key, body)) as pieces:
            async for piece in pieces:
                yield piece

    async def _structured_answer(self, prompter: Prompter) -> str:
        """The answer as JSON that matches the schema."""
        results = [_user_message("Results:\n" + "\n".join(self.results))] if self.results else []
        body = decode.chat_prompt([*self.messages, *results], self._own_instructions, self.schema)
        return await prompter.full_text(f"chat {self._own_instructions}", body)

    @property
    def _own_instructions(self) -> str:
        """The system message. A leader's is reduced to its instructions, because reading the rest takes seconds."""
        if "<team_members>" not in self.system:
            return self.system
        return "\n\n".join(_INSTRUCTIONS.findall(self.system))


def _user_message(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _split_as_delegated(clause: str, replies: Mapping[str, str]) -> list[str]:
    """The clause, or its parts if those were delegated separately."""
    parts = parts_of(clause)
    return parts if clause not in replies and set(parts) <= replies.keys() else [clause]


def _parse_call(call: Mapping[str, Any]) -> Call:
    return Call(name=call["name"], args=decode.read_json(call["arguments"]) or {})
