"""Many questions in few requests, and nobody pays for another's mistakes."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.prometheus.answers import Result, Trouble
from tidegate.prometheus.batching import MOST_TOGETHER, TAG, Batcher, join, part
from tidegate.prometheus.promql import self_contained

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


ONE = {"status": "success", "data": {"result": [{"metric": {}, "value": [0, "1"]}]}}


class Clock:
    """Monotonic seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Asking:
    """A batcher before a scripted Prometheus, and the sizes of its requests."""

    def __init__(self, prometheus, connect, **fields) -> None:
        self.prometheus = prometheus
        self.clock = Clock()
        self.sizes: list[int] = []
        self.seen: list[tuple[float, bool]] = []
        self.batcher = Batcher(
            connect(prometheus.address, **fields),
            lambda _, seconds, good: self.seen.append((seconds, good)),
            lambda _, queries: self.sizes.append(queries),
            collecting=0.002,
            clock=self.clock,
        )

    async def ask(self, *queries: str, at: datetime = AT, most: int = 100) -> list[object]:
        answers = await asyncio.gather(*(self.batcher.ask(query, at, most) for query in queries))
        return [value_of(answer) for answer in answers]

    def requests(self) -> list[int]:
        """The sizes of the requests since this was asked last, the largest first."""
        sizes, self.sizes = sorted(self.sizes, reverse=True), []
        assert len(sizes) == len(self.prometheus.paths)
        self.prometheus.paths.clear()
        return sizes


def value_of(answer: Result | Trouble) -> object:
    """The value of the first series, or else the answer."""
    if isinstance(answer, Result) and answer.data and isinstance(answer.data[0], dict):
        return answer.data[0]["value"][1]
    return answer


@pytest.fixture
def asking(prometheus, connect) -> Asking:
    for number in range(250):
        prometheus.gives_value(str(number), to=f"q{number}")
    return Asking(prometheus, connect)


def names(*numbers: int) -> list[str]:
    return [f"q{number}" for number in numbers]


class TestTogether:
    """What is asked at one moment for one instant goes out in one request."""

    async def test_each_has_its_own_answer(self, asking):
        """Although they came in one."""
        assert ["3", "1", "2"] == await asking.ask("q3", "q1", "q2")
        assert asking.requests() == [3]
        assert asking.prometheus.methods == ["POST"]
        assert {(one["time"], one["timeout"]) for one in asking.prometheus.parameters} == {("1767323045.000", "4500ms")}

    async def test_series_come_without_the_label_that_told_them_apart(self, asking):
        """The ledger knows nothing of it."""
        asking.prometheus.gives([{"metric": {"pod": "a"}, "value": [0, "1"]}, {"metric": {"pod": "b"}, "value": [0, "2"]}], to="v")

        answer, _ = await asyncio.gather(asking.batcher.ask("v", AT, 100), asking.batcher.ask("q1", AT, 100))

        assert isinstance(answer, Result)
        assert [one["metric"] for one in answer.data] == [{"pod": "a"}, {"pod": "b"}]

    async def test_no_series_is_an_answer(self, asking):
        """And not one that is missing."""
        asking.prometheus.gives([], to="none")

        assert [Result([]), "1"] == await asking.ask("none", "q1")

    async def test_one_alone_is_asked_as_ever(self, asking):
        """With nothing around it."""
        assert ["1"] == await asking.ask("q1")
        assert asking.prometheus.methods == ["GET"]
        assert asking.prometheus.parameters[0]["query"] == "q1"
        assert asking.prometheus.parameters[0]["limit"] == "100"

    async def test_the_same_question_is_asked_once(self, asking):
        """However many wait for it."""
        assert ["1", "1", "2", "1"] == await asking.ask("q1", "q1", "q2", "q1")
        assert asking.requests() == [2]
        assert [good for _, good in asking.seen] == [True, True]

    async def test_another_instant_is_another_request(self, asking):
        """An instant query has one."""
        await asyncio.gather(asking.ask("q1", "q2"), asking.ask("q3", "q4", at=AT + timedelta(seconds=1)))

        assert asking.requests() == [2, 2]

    async def test_requests_have_a_greatest_size(self, asking):
        """The server has the time of one query for all of them."""
        answers = await asking.ask(*names(*range(250)))

        assert answers == [str(number) for number in range(250)]
        assert asking.requests() == [MOST_TOGETHER, MOST_TOGETHER, 250 - 2 * MOST_TOGETHER]

    async def test_requests_have_a_greatest_length(self, asking):
        """Servers do not read for ever."""
        long = [f"{'x' * 40_000}{number}" for number in range(4)]
        for query in long:
            asking.prometheus.gives_value("7", to=query)

        assert ["7"] * 4 == await asking.ask(*long)
        assert asking.requests() == [3, 1]

    async def test_who_does_not_wait_any_more_takes_nothing_from_others(self, asking):
        """A Release is deleted during its look."""
        leaving = asking.batcher.ask("q1", AT, 100)
        staying = asking.batcher.ask("q1", AT, 100)
        await asyncio.sleep(0)
        leaving.cancel()

        assert isinstance(await staying, Result)

    async def test_a_long_query_goes_into_a_body(self, asking):
        """Proxies cut addresses off."""
        query = f"q{'0' * 4000}"
        asking.prometheus.gives_value("8", to=query)

        assert ["8"] == await asking.ask(query)
        assert asking.prometheus.methods == ["POST"]


class TestMistakes:
    """One bad query harms nobody."""

    async def test_the_others_have_their_answers(self, asking):
        """And the bad one is told what is wrong with it, in the words of Prometheus."""
        asking.prometheus.refuses("no such function", to="bad")

        *good, bad = await asking.ask(*names(*range(20)), "bad")

        assert good == [str(number) for number in range(20)]
        assert Trouble("Prometheus connection default: Prometheus reports: no such function (HTTP 400)") == bad

    async def test_it_costs_others_nothing_from_then_on(self, asking):
        """It is asked alone."""
        asking.prometheus.refuses("no such function", status=422, to="bad")
        await asking.ask(*names(*range(20)), "bad")
        first = asking.requests()

        await asking.ask(*names(*range(20)), "bad", at=AT + timedelta(seconds=5))

        assert len(first) <= 11
        assert asking.requests() == [20, 1]

    async def test_after_a_while_it_is_tried_again(self, asking):
        """It may have been mended."""
        asking.prometheus.refuses("no such function", to="bad")
        await asking.ask("q1", "q2", "bad")
        asking.requests()
        asking.prometheus.gives_value("9", to="bad")
        asking.clock.now = 601

        assert ["1", "2", "9"] == await asking.ask("q1", "q2", "bad", at=AT + timedelta(minutes=11))
        assert asking.requests() == [3]

    async def test_a_mended_one_is_asked_with_the_others_again(self, asking):
        """From the look after the one that showed it."""
        asking.prometheus.refuses("no such function", to="bad")
        await asking.ask("q1", "q2", "bad")
        asking.prometheus.gives_value("9", to="bad")
        asking.requests()

        for second in (1, 2):
            await asking.ask("q1", "q2", "bad", at=AT + timedelta(seconds=second))

        assert asking.requests() == [3, 2, 1]

    async def test_two_that_do_not_go_together(self, prometheus, connect):
        """Whatever the reason, each has its answer, and they are not tried together again for a while."""
        asking = Asking(prometheus, connect)

        def respond(handler):
            body = json.dumps({"status": "error", "error": "odd"} if handler.command == "POST" else ONE).encode()
            handler.send_response(422 if handler.command == "POST" else 200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        prometheus.does(respond)

        for second in range(3):
            assert ["1", "1"] == await asking.ask("a", "b", at=AT + timedelta(seconds=second))
        assert asking.requests() == [2, 1, 1, 1, 1, 1, 1]

    async def test_a_scalar_is_made_a_vector_once_it_is_known(self, asking):
        """By itself it has no labels to tell it by; it is refused once, and then no request of its own any more."""
        asking.prometheus.gives([1767323045, "3"], to="scalar")
        answers = await asyncio.gather(*(asking.batcher.ask(query, AT, 100) for query in ("q1", "scalar", "q2")))
        asking.requests()

        await asking.ask("q1", "scalar", "q2", at=AT + timedelta(seconds=5))

        assert answers[1] == Result([1767323045, "3"])
        assert asking.requests() == [3]
        assert Result([1767323045, "3"]) == (await asking.ask("q1", "scalar", "q2", at=AT + timedelta(seconds=10)))[1]

    async def test_a_scalar_is_answered_together_as_it_is_alone(self, asking):
        """Whoever asks need not know how it was asked."""
        asking.prometheus.gives([1767323045, "3"], to="scalar(sum(x))")

        answers = await asyncio.gather(*(asking.batcher.ask(query, AT, 100) for query in ("q1", "scalar(sum(x))")))

        assert asking.requests() == [2]
        assert answers[1] == Result([1767323045, "3"])

    async def test_a_scalar_that_is_known_by_its_text(self, asking):
        """It is not even refused once."""
        asking.prometheus.gives([1767323045, "3"], to="scalar(sum(x)) / 2")

        assert ["1", Result([1767323045, "3"]), "2"] == await asking.ask("q1", "scalar(sum(x)) / 2", "q2")
        assert asking.requests() == [3]

    async def test_what_is_neither_vector_nor_number_stays_alone(self, asking):
        """A text cannot be made a vector of."""
        asking.prometheus.gives([1767323045, "a"], to='"a"')
        for seconds in (0, 5):
            await asking.ask("q1", '"a"', at=AT + timedelta(seconds=seconds))
        asking.requests()

        await asking.ask("q1", '"a"', "q2", at=AT + timedelta(seconds=10))

        assert asking.requests() == [2, 1]

    @pytest.mark.parametrize("bad", ["x{a=`", 'x{a="', "sum(x", "x) or (y", "x{a='\n'}", "x}", ""])
    async def test_what_does_not_end_is_never_asked_together(self, asking, bad):
        """What it leaves open would swallow the next one."""
        asking.prometheus.refuses("parse error", to=bad)

        *good, answer = await asking.ask("q1", "q2", bad)

        assert good == ["1", "2"]
        assert isinstance(answer, Trouble)
        assert asking.requests() == [2, 1]

    async def test_an_answer_that_is_too_large_for_all(self, asking):
        """Halves may fit."""
        huge = [{"metric": {"pod": "p" * 1_000_000}, "value": [0, "1"]}]
        for number in range(6):
            asking.prometheus.gives(huge if number < 5 else [{"metric": {}, "value": [0, "1"]}], to=f"huge{number}")

        answers = await asking.ask(*(f"huge{number}" for number in range(6)))

        assert ["1"] * 6 == answers
        assert asking.requests() == [6, 3, 3]


class TestTheServer:
    """What has nothing to do with any query is told to all, and the server is not asked more often for it."""

    @pytest.mark.parametrize("status", [401, 429, 500, 502, 503])
    async def test_an_error_of_the_server(self, asking, status):
        """One request, one trouble for all."""
        asking.prometheus.says(status, "<html>")

        answers = await asking.ask("a", "b", "c")

        assert len({answer.message for answer in answers if isinstance(answer, Trouble)}) == 1
        assert asking.requests() == [3]

    async def test_a_server_that_is_not_there(self, prometheus, connect):
        """Nobody listens."""
        batcher = Batcher(connect("http://127.0.0.1:1"))

        answers = await asyncio.gather(*(batcher.ask(query, AT, 100) for query in ("a", "b")))

        assert answers == [Trouble("Prometheus connection default: Connection refused (http://127.0.0.1:1)")] * 2

    def test_the_end_of_a_process_ends_what_is_being_collected(self, connect):
        """It is a task like others from the first moment, which is told to end with them: no timer makes one that nobody tells."""
        batcher = Batcher(connect("http://127.0.0.1:1"), collecting=3600)

        async def live() -> asyncio.Future[Result | Trouble]:
            answer = batcher.ask("a", AT, 100)
            await asyncio.sleep(0)
            return answer

        assert asyncio.run(live()).done()

    async def test_a_request_that_takes_too_long_is_half_as_large_the_next_time(self, prometheus, connect):
        """Until the query is alone that takes so long, and all others have their answers."""
        asking = Asking(prometheus, connect, timeout="300ms")
        for number in range(4):
            prometheus.gives_value("1", to=f"q{number}")
        prometheus.refuses("query timed out in expression evaluation", status=503, to="slow", kind="timeout")
        history = []
        for look in range(4):
            answers = await asking.ask(*names(0, 1, 2), "slow", at=AT + timedelta(seconds=look))
            history.append((asking.requests(), [isinstance(answer, Trouble) for answer in answers]))

        assert history[0] == ([4], [True, True, True, True])
        assert history[1] == ([2, 2], [False, False, True, True])
        assert history[-1] == ([3, 1], [False, False, False, True])

    async def test_a_server_that_is_slow_for_all_is_not_asked_more_often(self, asking):
        """It is not for what one of them asks."""
        asking.prometheus.refuses("too busy", status=503, kind="timeout")
        for look in range(3):
            await asking.ask(*(f"x{number}" for number in range(MOST_TOGETHER + 10)), at=AT + timedelta(seconds=look))

        assert asking.requests() == [MOST_TOGETHER] * 3 + [10] * 3

    async def test_a_proxy_that_lets_no_post_through(self, prometheus, connect):
        """Then each question is asked as ever, and the proxy is not bothered again."""
        asking = Asking(prometheus, connect)

        def respond(handler):
            body = json.dumps({"data": {"result": [{"metric": {}, "value": [0, "5"]}]}}).encode()
            handler.send_response(405 if handler.command == "POST" else 200)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        prometheus.does(respond)

        assert ["5", "5"] == await asking.ask("a", "b")
        assert ["5", "5"] == await asking.ask("a", "b", at=AT + timedelta(seconds=1))
        assert Counter(prometheus.methods) == {"POST": 1, "GET": 4}

    @pytest.mark.parametrize("status", [403, 404, 405])
    async def test_a_server_that_lets_nothing_through(self, asking, status):
        """One more try shows that it is not for the way of asking."""
        asking.prometheus.says(status, "go away")

        answers = await asking.ask(*(f"x{number}" for number in range(50)))

        assert len({answer.message for answer in answers if isinstance(answer, Trouble)}) == 1
        assert asking.requests() == [50, 1]

    async def test_closing(self, asking):
        """The operator goes down while looks begin."""
        asking.batcher.connection.close()

        assert [Trouble("Prometheus connection default: it is closed")] * 2 == await asking.ask("q1", "q2")


class TestWarnings:
    """An answer may lack something, and say so beside it."""

    async def test_an_answer_that_was_cut_short_is_no_answer(self, prometheus, connect):
        """A server that gives a limited number of series: fewer questions have fewer."""
        asking = Asking(prometheus, connect)
        prometheus.gives_value("1")
        prometheus.gives([{"metric": {}, "value": [0, "2"]}], to="many", warnings=["results truncated due to limit"])

        answers = await asking.ask("a", "b", "c", "many")
        first = asking.requests()
        await asking.ask("a", "b", "c", "many", at=AT + timedelta(seconds=1))

        assert answers == ["1", "1", "1", "2"]
        assert first == [4, 2, 2, 1, 1]
        assert asking.requests()[0] < 4

    async def test_a_warning_that_single_questions_have_too(self, prometheus, connect):
        """Part of a federation is away: that is no reason to ask more often."""
        asking = Asking(prometheus, connect)
        prometheus.gives([{"metric": {}, "value": [0, "1"]}], warnings=["store at 10.0.0.1 is away"])
        await asking.ask("a", "b", "c")
        asking.requests()

        assert ["1"] * 3 == await asking.ask("a", "b", "c", at=AT + timedelta(seconds=1))
        assert asking.requests() == [3]

    async def test_a_warning_about_an_expression(self, asking):
        """It is about what somebody wrote, and the answer is whole."""
        warned = ['PromQL warning: bucket label "le" is missing']
        asking.prometheus.gives([{"metric": {}, "value": [0, "2"]}], to="odd", warnings=warned)

        assert ["1", "2"] == await asking.ask("q1", "odd")
        assert asking.requests() == [2]


class TestForgery:
    """No query can read, change or pass itself off as another's answer."""

    def test_names_are_not_guessed(self):
        """A series that nobody was given the name of is nobody's."""
        forged = [
            {"metric": {TAG: "nonce-0", "a": "mine"}, "value": [0, "1"]},
            {"metric": {TAG: "0"}, "value": [0, "2"]},
            {"metric": {TAG: "other-1"}, "value": [0, "3"]},
            {"metric": {}, "value": [0, "4"]},
        ]

        assert [[{"metric": {"a": "mine"}, "value": [0, "1"]}], []] == part(forged, "nonce", 2)

    @pytest.mark.parametrize("labels", [{}, {"said": "a proxy"}, {TAG: "other-0"}])
    def test_an_answer_without_names_is_none(self, labels):
        """Somebody on the way lost them: that does not mean that there are no series."""
        assert part([{"metric": labels, "value": [0, "1"]}], "nonce", 2) is None
        assert [[], []] == part([], "nonce", 2)

    @pytest.mark.parametrize("data", [[1, "2"], {"a": 1}, None, [{"value": [0, "1"]}], [{"metric": 3}]])
    def test_what_is_no_vector_is_no_answer(self, data):
        """Then each is asked alone."""
        assert part(data, "nonce", 2) is None

    async def test_every_request_has_names_of_its_own(self, asking, monkeypatch):
        """What was seen once is worth nothing."""
        queries = []
        ask = asking.batcher.connection.joint

        async def joint(promql, at, **how):
            queries.append(promql)
            return await ask(promql, at, **how)

        monkeypatch.setattr(asking.batcher.connection, "joint", joint)
        for second in range(2):
            await asking.ask("q1", "q2", at=AT + timedelta(seconds=second))

        assert len(set(queries)) == 2
        assert all(query.count(f'"{TAG}"') == 2 for query in queries)

    @settings(max_examples=300)
    @given(st.text(alphabet="ab(){}[]\"'`#\\\n ,=~", max_size=20), st.text(alphabet="ab(){}[]\"'`#\\\n ", max_size=20))
    def test_what_is_self_contained_leaves_what_is_around_it_alone(self, one, other):
        """Two such texts are such a text, and brackets around one close after it."""
        if self_contained(one) and self_contained(other):
            assert self_contained(f"({one}\n) or ({other}\n)")
            assert self_contained(join([one, other], "nonce"))
        if self_contained(one):
            assert not self_contained(f"({one}\n")
            assert not self_contained(f"{one}\n)")

    def test_strings_and_comments_hide_brackets(self):
        """Selectors of pods have some."""
        assert self_contained('sum(x{pod=~"a[0-9]{5}(b|c"}) # (')
        assert self_contained("x{a='\\'(', b=`\n\"(`}")
