"""One turn of ``local``: what the host decides and what the model is asked.

| who speaks | the host | the model |
|---|---|---|
| leader, asked | splits the request, keeps the order, passes each clause on verbatim | whose work each clause is |
| leader, told | joins the replies in order | answers clauses that were nobody's work |
| agent with one tool, asked | calls it | the arguments, of one call or several |
| agent with several tools | refuses to repeat a call | which tool, its arguments, or the answer |
| agent, told | – | the answer, from the results |
| agent without tools | – | the answer |
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from musterd.core.errors import ModelFailed
from musterd.core.records import Usage
from musterd.models.clauses import Member, joined, members_of, parts_of, pick_by_words, split_request
from musterd.models.local import decode
from musterd.models.script import BROADCAST, DELEGATE, Call

Body = Mapping[str, Any]
Function = Mapping[str, Any]
Piece = str | Call

_INSTRUCTIONS = re.compile(r"<instructions>\n(.*?)\n</instructions>", re.DOTALL)


class Generates(Protocol):
    """What is used of :class:`musterd.models.local.runtime.Runtime`."""

    def stream(self, key: str, body: Body) -> AsyncGenerator[Mapping[str, Any]]:
        """Generate, chunk by chunk."""


class Ask:
    """Puts questions to the model and counts what they cost."""

    def __init__(self, runtime: Generates) -> None:
        self._runtime = runtime
        self.usage = Usage()

    async def text(self, key: str, body: Body) -> AsyncGenerator[str]:
        """The answer, piece by piece."""
        async with aclosing(self._chunks(key, body)) as chunks:
            async for chunk in chunks:
                for choice in chunk.get("choices") or ():
                    if text := choice["delta"].get("content"):
                        yield text

    async def whole(self, key: str, body: Body) -> str:
        """The answer."""
        async with aclosing(self.text(key, body)) as pieces:
            return "".join([piece async for piece in pieces])

    async def scores(self, body: Body, count: int) -> list[float]:
        """How the first ``count`` letters stand."""
        scores: list[float] | None = None
        async with aclosing(self._chunks("choose", body)) as chunks:
            async for chunk in chunks:
                scores = scores or decode.letter_scores(chunk, count)
        return scores or [0.0] * count

    async def _chunks(self, key: str, body: Body) -> AsyncGenerator[Mapping[str, Any]]:
        async with aclosing(self._runtime.stream(key, body)) as chunks:
            async for chunk in chunks:
                if used := chunk.get("usage"):
                    cached = (used.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
                    self.usage.add(
                        Usage(
                            input_tokens=used["prompt_tokens"],
                            output_tokens=used["completion_tokens"],
                            cache_read_tokens=cached,
                        )
                    )
                yield chunk


@dataclass(slots=True, kw_only=True)
class Turn:
    """What is known when a turn begins.

    :param bias: what the model answers to requests that say nothing, by options; kept from turn to turn.
    :param schema: what the final answer must look like, else None.
    """

    messages: Sequence[Mapping[str, Any]]
    functions: Sequence[Function]
    bias: dict[tuple[str, ...], list[list[float]]]
    schema: Mapping[str, Any] | None = None
    system: str = field(init=False)
    request: str = field(init=False)
    since: Sequence[Mapping[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        by_role = [(message["role"], place) for place, message in enumerate(self.messages)]
        systems = [self.messages[place]["content"] for role, place in by_role if role == "system"]
        users = [place for role, place in by_role if role == "user"]
        self.system = "\n\n".join(systems)
        self.request = self.messages[users[-1]]["content"] if users else ""
        self.since = self.messages[users[-1] + 1 :] if users else []

    @property
    def told(self) -> list[tuple[Call, str]]:
        """The tools called in this run and what each returned, in the order of the calls."""
        returned = {message["tool_call_id"]: message["content"] for message in self.since if message["role"] == "tool"}
        made = [call for message in self.since for call in message.get("tool_calls") or ()]
        return [(_call(item["function"]), returned[item["id"]]) for item in made if item["id"] in returned]

    @property
    def results(self) -> list[str]:
        """What the tools called in this run returned."""
        return [result for _, result in self.told]

    async def play(self, ask: Ask) -> AsyncGenerator[Piece]:
        """The turn: pieces of text, or tool calls."""
        names = {function["name"] for function in self.functions}
        if DELEGATE in names:
            playing = self._collect(ask) if self.results else self._delegate(ask)
        elif BROADCAST in names:
            playing = self._collect(ask) if self.results else self._broadcast()
        elif not self.functions:
            playing = self._speak(ask)
        elif len(self.functions) == 1:
            playing = self._speak(ask) if self.results else self._use(ask, self.functions[0])
        else:
            playing = self._choose(ask)
        async with aclosing(playing) as pieces:
            async for piece in pieces:
                yield piece

    async def _delegate(self, ask: Ask) -> AsyncGenerator[Piece]:
        """Give each clause to whose work it is; answer when none is anybody's."""
        members = members_of(self.system)
        tools = [function for function in self.functions if function["name"] not in (DELEGATE, BROADCAST)]
        options = [*map(decode.option, members), *map(decode.tool_option, tools)][: decode.MAX_OPTIONS]
        called = False
        for clause, place in await self._routes(ask, members, options):
            if place is None:
                continue
            called = True
            if place < len(members):
                yield Call(name=DELEGATE, args={"member_id": members[place].id, "task": clause})
            else:
                for call in await self._filled(ask, tools[place - len(members)], clause):
                    yield call
        if not called:
            async with aclosing(self._speak(ask)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _routes(
        self, ask: Ask, members: Sequence[Member], options: Sequence[str]
    ) -> list[tuple[str, int | None]]:
        """Each clause and the option that it is work for. A clause is parted where its parts are different work."""
        routes: list[tuple[str, int | None]] = []
        for clause in split_request(self.request):
            parts = parts_of(clause)
            places = [await self._route(ask, part, members, options) for part in parts]
            if None in places or len(set(places)) == 1 < len(parts):
                parts, places = [clause], [await self._route(ask, clause, members, options)]
            routes.extend(zip(parts, places, strict=True))
        return routes

    async def _route(self, ask: Ask, clause: str, members: Sequence[Member], options: Sequence[str]) -> int | None:
        """The option that ``clause`` is work for. Words that it shares with a member outweigh "nobody"."""
        if not options:
            return None
        place = await self._letter(ask, clause, options)
        if place is None and (by_words := pick_by_words(clause, members)):
            return members.index(by_words)
        return place

    async def _letter(self, ask: Ask, clause: str, options: Sequence[str]) -> int | None:
        count = len(options) + 1
        bias = self.bias.get(tuple(options))
        if bias is None:
            neutral = [await ask.scores(decode.routing(text, options), count) for text in decode.NEUTRAL]
            bias = self.bias[tuple(options)] = neutral
        return decode.best(await ask.scores(decode.routing(clause, options), count), bias)

    async def _broadcast(self) -> AsyncGenerator[Piece]:
        yield Call(name=BROADCAST, args={"task": self.request})

    async def _collect(self, ask: Ask) -> AsyncGenerator[Piece]:
        """Join the replies in the order of the request, and answer what nobody was asked."""
        replies = {str(call.args.get("task")): result for call, result in self.told if call.name == DELEGATE}
        own = [result for call, result in self.told if call.name not in (DELEGATE, BROADCAST)]
        clauses = [part for clause in split_request(self.request) for part in _as_asked(clause, replies)]
        if self.schema is not None:
            yield await self._formed(ask)
            return
        if not replies.keys() <= set(clauses) or not (replies or own):
            yield joined(self.results)
            return
        for place, clause in enumerate(clauses):
            if place:
                yield "\n\n"
            if clause in replies:
                yield replies[clause].strip()
                continue
            body = decode.telling(clause, own) if own else decode.chatting([_user(clause)], self._own_words)
            async with aclosing(ask.text("tell" if own else "chat", body)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _use(self, ask: Ask, function: Function) -> AsyncGenerator[Piece]:
        for call in await self._filled(ask, function, self.request):
            yield call

    async def _filled(self, ask: Ask, function: Function, request: str) -> list[Call]:
        """Calls of ``function`` with arguments out of ``request``."""
        if not decode.parameters_of(function).get("properties"):
            return [Call(name=function["name"], args={})]
        found = decode.read_calls(await ask.whole("fill", decode.arguments(function, request)))
        if not found:
            raise ModelFailed(f"The local model found no arguments for {function['name']}")
        return [Call(name=function["name"], args=args) for args in found]

    async def _choose(self, ask: Ask) -> AsyncGenerator[Piece]:
        """One of several tools, or the answer. The same call twice means that it is time to answer."""
        body = decode.choosing(self.functions, self._own_words, self.request, self.results)
        chosen = decode.read_json(await ask.whole(f"choose {self.system}", body)) or {}
        call = Call(name=chosen["tool"], args=chosen["args"]) if "tool" in chosen else None
        if call is not None and call not in [made for made, _ in self.told]:
            yield call
        elif "answer" in chosen and self.schema is None:
            yield chosen["answer"]
        else:
            async with aclosing(self._speak(ask)) as pieces:
                async for piece in pieces:
                    yield piece

    async def _speak(self, ask: Ask) -> AsyncGenerator[Piece]:
        """Answer: from the results where there are any, else from the conversation."""
        if self.schema is not None:
            yield await self._formed(ask)
            return
        if self.results:
            key, body = "tell", decode.telling(self.request, self.results)
        else:
            key, body = f"chat {self._own_words}", decode.chatting(self.messages, self._own_words)
        async with aclosing(ask.text(key, body)) as pieces:
            async for piece in pieces:
                yield piece

    async def _formed(self, ask: Ask) -> str:
        """The answer as JSON of the schema."""
        results = [_user("Results:\n" + "\n".join(self.results))] if self.results else []
        body = decode.chatting([*self.messages, *results], self._own_words, self.schema)
        return await ask.whole(f"chat {self._own_words}", body)

    @property
    def _own_words(self) -> str:
        """The system message; a leader's without what the host does for it: reading takes seconds."""
        if "<team_members>" not in self.system:
            return self.system
        return "\n\n".join(_INSTRUCTIONS.findall(self.system))


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _as_asked(clause: str, replies: Mapping[str, str]) -> list[str]:
    """The clause, or its parts where those were given away."""
    parts = parts_of(clause)
    return parts if clause not in replies and set(parts) <= replies.keys() else [clause]


def _call(made: Mapping[str, Any]) -> Call:
    return Call(name=made["name"], args=decode.read_json(made["arguments"]) or {})
