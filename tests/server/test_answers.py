"""Answers that are given again until something changes."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from runstone.dialects.routing import Call, Raw, Route
from runstone.domain.context import Context, Principal
from runstone.errors import Invalid
from runstone.server.answers import MAX_ANSWER, MAX_ASKED, MAX_BYTES, Answers


class Bench:
    """Answers over a commit number that a test turns, and a handler that counts how often it is asked."""

    def __init__(self, handler: Any = None) -> None:
        self.commit, self.asked = 1, 0
        self._handler = handler
        self.threads = ThreadPoolExecutor(4)
        self.answers = Answers(lambda: self.commit, self._in_thread)
        self.route = Route("POST", "/ask", self._handle, "Asks.", remembered=True, also_as=("text/csv",))

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    def _handle(self, call: Call) -> Any:
        self.asked += 1
        return self._handler(call) if self._handler else {"asked": self.asked}

    def call(self, body: Any = None, *, who: str = "ann", accept: str = "", **more: Any) -> Call:
        ctx = Context(Principal(who, user=1), deadline=more.pop("deadline", None))
        headers = {"Accept": accept}
        return Call(None, ctx, None, "POST", {"ns": "ann"}, None, body, headers, **more)  # type: ignore[arg-type]

    async def of(self, *args: Any, **more: Any) -> Any:
        return await self.answers.of(self.route, self.call(*args, **more))


def test_an_answer_is_given_again_until_the_next_commit():
    bench = Bench()

    async def go() -> None:
        assert [(await bench.of({"a": 1})).content for _ in range(3)] == [b'{"asked":1}'] * 3
        bench.commit += 1
        assert (await bench.of({"a": 1})).content == b'{"asked":2}'
        assert bench.answers.again == 2

    asyncio.run(go())


def test_what_an_answer_depends_on_tells_questions_apart():
    bench = Bench()

    async def go() -> None:
        asked = [
            bench.of({"a": 1}),
            bench.of({"a": True}),
            bench.of({"a": 1.0}),
            bench.of({"a": 1}, who="bob"),
        ]
        asked += [bench.of({"a": 1}, packed=True), bench.of({"a": "1"}), bench.of({"b": 1})]
        found = [await each for each in asked]
        assert len({each.content for each in found}) == len(found) == bench.asked
        assert found[4].media_type == "application/msgpack"

    asyncio.run(go())


def test_who_asks_for_a_file_or_in_a_hurry_gets_an_answer_of_their_own():
    bench = Bench()

    async def go() -> None:
        await bench.of(1)
        # Such an answer is what the handler gave, for the server to encode.
        assert await bench.of(1, accept="text/csv") == {"asked": 2}
        assert await bench.of(1, deadline=time.monotonic() + 60) == {"asked": 3}
        assert (await bench.of(1)).content == b'{"asked":1}'

    asyncio.run(go())


def test_header_fields_that_a_route_looks_at_tell_questions_apart():
    bench = Bench()
    bench.route = replace(bench.route, fields=("X-Workspace",))

    async def go() -> None:
        calls = [bench.call(1) for _ in range(4)]
        for call, workspace in zip(calls, ("a", "b", "", None), strict=True):
            call.headers = {"X-Other": str(workspace)} | (
                {} if workspace is None else {"X-Workspace": workspace}
            )
        found = [await bench.answers.of(bench.route, call) for call in calls]
        assert [each.content for each in found] == [b'{"asked":%d}' % number for number in (1, 2, 3, 4)]
        calls[0].headers = {"X-Workspace": "a", "X-Other": "other"}
        assert await bench.answers.of(bench.route, calls[0]) is found[0]

    asyncio.run(go())


def test_what_is_known_is_told_at_once_and_not_after_a_commit():
    bench = Bench()

    async def go() -> None:
        assert bench.answers.known(bench.route, bench.call(1)) is None
        made = asyncio.ensure_future(bench.of(1))
        await asyncio.sleep(0)
        assert bench.answers.known(bench.route, bench.call(1)) is None  # it is not there yet
        await made
        assert bench.answers.known(bench.route, bench.call(1)) is made.result()
        assert bench.answers.known(bench.route, bench.call(1, who="bob")) is None
        assert bench.answers.known(bench.route, bench.call(1, accept="text/csv")) is None
        bench.commit += 1
        assert bench.answers.known(bench.route, bench.call(1)) is None
        assert bench.asked == 1

    asyncio.run(go())


def test_an_error_is_never_known():
    def refuse(call: Call) -> Any:
        raise Invalid("no")

    bench = Bench(refuse)

    async def go() -> None:
        with pytest.raises(Invalid):
            await bench.of(1)
        assert bench.answers.known(bench.route, bench.call(1)) is None

    asyncio.run(go())


def test_who_asks_while_an_answer_is_made_waits_for_it_unless_something_changed_since():
    begun, end = threading.Semaphore(0), threading.Event()

    def slow(call: Call) -> Any:
        mine = bench.asked
        begun.release()
        end.wait(30)
        return {"asked": mine}

    bench = Bench(slow)

    async def go() -> None:
        first = [asyncio.ensure_future(bench.of(1)) for _ in range(3)]
        assert await asyncio.to_thread(begun.acquire, True, 30)
        # Somebody has written: what is being made began before that.
        bench.commit += 1
        late = asyncio.ensure_future(bench.of(1))
        assert await asyncio.to_thread(begun.acquire, True, 30)
        end.set()
        assert [(await each).content for each in first] == [b'{"asked":1}'] * 3
        assert (await late).content == b'{"asked":2}'
        # What was made last is what is held, and not what ended last.
        assert (await bench.of(1)).content == b'{"asked":2}'

    asyncio.run(go())


def test_one_that_goes_away_takes_the_answer_from_nobody():
    begun, end = threading.Event(), threading.Event()

    def slow(call: Call) -> Any:
        begun.set()
        end.wait(30)
        return "here"

    bench = Bench(slow)

    async def go() -> None:
        first, second = asyncio.ensure_future(bench.of(1)), asyncio.ensure_future(bench.of(1))
        assert await asyncio.to_thread(begun.wait, 30)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        end.set()
        assert (await second).content == b'"here"'
        assert bench.asked == 1

    asyncio.run(go())


def test_an_error_is_told_to_all_who_wait_and_is_not_held():
    def refuse(call: Call) -> Any:
        raise Invalid(f"no {bench.asked}")

    bench = Bench(refuse)

    async def go() -> None:
        told = await asyncio.gather(bench.of(1), bench.of(1), return_exceptions=True)
        assert [str(each) for each in told] == ["no 1", "no 1"]
        with pytest.raises(Invalid, match="no 2"):
            await bench.of(1)

    asyncio.run(go())


@pytest.mark.parametrize(("length", "made"), [(MAX_ASKED - 100, 1), (MAX_ASKED, 2)])
def test_large_questions_are_not_held(length: int, made: int):
    bench = Bench()

    async def go() -> None:
        await bench.of("x" * length)
        await bench.of("x" * length)
        assert bench.asked == made

    asyncio.run(go())


@pytest.mark.parametrize(("size", "made"), [(MAX_ANSWER, 1), (MAX_ANSWER + 1, 2)])
def test_large_answers_are_not_held(size: int, made: int):
    bench = Bench(lambda call: Raw(bytes(size)))

    async def go() -> None:
        await bench.of(1)
        assert len((await bench.of(1)).content) == size
        assert bench.asked == made

    asyncio.run(go())


def test_all_that_is_held_is_bounded():
    bench = Bench(lambda call: Raw(bytes(MAX_ANSWER)))

    async def go() -> None:
        many = MAX_BYTES // MAX_ANSWER
        for number in range(many + 1):
            await bench.of(number)
        await bench.of(0)
        assert bench.asked == many + 2

    asyncio.run(go())


def test_what_is_held_counts_questions_too():
    bench = Bench()

    async def go() -> None:
        many = MAX_BYTES // (60 << 10)
        for number in range(many + 1):
            await bench.of(f"{number:{60 << 10}}")
        await bench.of(f"{0:{60 << 10}}")
        assert bench.asked == many + 2

    asyncio.run(go())
