"""A connection to Prometheus, against a server on a real socket that misbehaves in every way known."""

import asyncio
import gzip
import json
import logging
import math
import shutil
import time
from datetime import UTC, datetime

import pytest

from tidegate.prometheus.connections import NoData, Trouble, Value

AT = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
CLOSED = "http://127.0.0.1:1"


def trouble(message: str) -> Trouble:
    return Trouble(f"Prometheus connection default: {message}")


class TestAnswers:
    """What is a number, and what is none."""

    @pytest.mark.parametrize(
        ("text", "expected"), [("0.0512", 0.0512), ("0", 0.0), ("+Inf", math.inf), ("-Inf", -math.inf), ("1e-3", 0.001)]
    )
    async def test_a_vector_of_one_series_is_its_value(self, prometheus, connect, text, expected):
        """Values come as text."""
        prometheus.gives_value(text)

        assert Value(expected) == await connect(prometheus.address).query("q", AT)

    async def test_a_scalar_is_a_value(self, prometheus, connect):
        """scalar(...) and plain numbers have another form."""
        prometheus.gives([1767323045.678, "3"])

        assert Value(3.0) == await connect(prometheus.address).query("3", AT)

    async def test_an_empty_vector_is_no_data(self, prometheus, connect):
        """No series is no number, and no trouble."""
        prometheus.gives([])

        assert NoData("the query found no series") == await connect(prometheus.address).query("q", AT)

    async def test_not_a_number_is_no_data(self, prometheus, connect):
        """0/0 is what a rate over an idle window gives."""
        prometheus.gives_value("NaN")

        assert NoData("the value is NaN, usually from a division by zero requests") == await connect(prometheus.address).query(
            "q", AT
        )

    @pytest.mark.parametrize(
        ("told", "words"),
        [(-3600, "1h before"), (-301, "5m1s before"), (3600, "1h after"), (1e300, ""), (10**400, "")],
    )
    @pytest.mark.parametrize("way", ["query", "joint"])
    async def test_answer_about_another_time_is_trouble(self, prometheus, connect, told, words, way):
        """What comes out of a cache on the way says nothing of now."""
        prometheus.gives([{"metric": {}, "value": [told + (AT.timestamp() if words else 0), "0"]}])

        found = await getattr(connect(prometheus.address), way)("q", AT)

        assert isinstance(found, Trouble)
        assert words in found.message

    @pytest.mark.parametrize("told", [AT.timestamp(), AT.timestamp() - 299, AT.timestamp() + 1, 0])
    async def test_answer_about_the_time_that_was_asked_for_counts(self, prometheus, connect, told):
        """It may bear the time of the last sample, as some servers have it, or none."""
        prometheus.gives([{"metric": {}, "value": [told, "0.5"]}])

        assert Value(0.5) == await connect(prometheus.address).query("q", AT)

    async def test_several_series_are_trouble(self, prometheus, connect):
        """None of them is picked."""
        prometheus.gives([{"metric": {"pod": str(pod)}, "value": [0, "1"]} for pod in range(3)])

        expected = trouble("the query gave 3 series, expected 1: aggregate them, for example with sum()")
        assert expected == await connect(prometheus.address).query("q", AT)

    @pytest.mark.parametrize(
        ("result", "what"),
        [
            ([{"metric": {}, "values": [[0, "1"]]}], "the query gave a range of values, expected one number"),
            ([{"metric": {}, "histogram": [0, {}]}], "the query gave a histogram, expected one number"),
            ([{"metric": {}}], "the query gave no value, expected one number"),
            ([0, "a text"], "the query gave a text, expected one number"),
            ([{"metric": {}, "value": [0]}], "the answer has no value that Tidegate knows"),
            ([{"metric": {}, "value": [0, 1]}], "the answer has no value that Tidegate knows"),
            ({"a": "map"}, "the answer has no result that Tidegate knows"),
            (None, "the answer has no result that Tidegate knows"),
        ],
    )
    async def test_other_results_are_trouble(self, prometheus, connect, result, what):
        """What is no number is said to be what it is."""
        prometheus.gives(result)

        assert trouble(what) == await connect(prometheus.address).query("q", AT)

    async def test_a_compressed_answer_is_read(self, prometheus, connect):
        """Prometheus compresses where the client lets it."""
        body = gzip.compress(json.dumps({"data": {"result": [0, "7"]}}).encode())

        def respond(handler):
            handler.send_response(200)
            handler.send_header("Content-Encoding", "gzip")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        prometheus.does(respond)

        assert Value(7.0) == await connect(prometheus.address).query("q", AT)

    async def test_the_instant_is_the_callers(self, prometheus, connect):
        """Both versions are compared at the same instant, to the millisecond, and the server knows when to give up."""
        prometheus.gives_value("1")

        await connect(f"{prometheus.address}/prefix/").query("up == 1", AT)

        assert prometheus.paths == ["/prefix/api/v1/query"]
        assert prometheus.parameters == [{"query": "up == 1", "time": "1767323045.678", "timeout": "4500ms", "limit": "100"}]

    async def test_connections_are_kept(self, prometheus, connect):
        """One look after the other needs one connection."""
        prometheus.gives_value("1")
        connection = connect(prometheus.address)

        for _ in range(5):
            await connection.query("q", AT)

        assert prometheus.connections == 1


class TestTrouble:
    """Whatever the server does, there is a sentence about it."""

    async def test_refused(self, connect):
        """Nobody listens."""
        assert trouble(f"Connection refused ({CLOSED})") == await connect(CLOSED).query("q", AT)

    async def test_an_unknown_host(self, connect):
        """The query, which is in the URL, is not repeated."""
        answer = await connect("http://nowhere.invalid").query("a_long_query", AT)

        assert isinstance(answer, Trouble)
        assert answer.message.endswith("(http://nowhere.invalid)")
        assert "a_long_query" not in answer.message

    @pytest.mark.parametrize("status", [400, 422, 500, 503])
    async def test_an_error_is_told_in_the_words_of_prometheus(self, prometheus, connect, status):
        """Its own words help most."""
        prometheus.refuses('invalid parameter "query": 1:5: parse error: unexpected\nend of input', status)

        expected = f'Prometheus reports: invalid parameter "query": 1:5: parse error: unexpected end of input (HTTP {status})'
        assert trouble(expected) == await connect(prometheus.address).query("sum(", AT)

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (
                'found duplicate series for the match group {a="payments"}: [{secret="vault-root"}];many-to-many',
                "found duplicate series for the match group",
            ),
            ('multiple matches: [{"vault.root"="x"}]', "multiple matches:"),
            ('duplicate time series: vault_root_total{secret="x"}', "duplicate time series:"),
            ('label "{"vault-root", secret="x"}" is odd', 'label "'),
            ("[vault-root]", ""),
            ("cannot run (label_replace((\nsum(vault_root)\n), ", "cannot run ("),
        ],
    )
    async def test_series_in_an_error_are_not_told(self, prometheus, connect, caplog, said, told):
        """Labels of series may be anybody's: what follows them is for the operator's administrator, in the log at debug."""
        caplog.set_level(logging.DEBUG, logger="tidegate")
        prometheus.refuses(said, 422)

        answer = await connect(prometheus.address).query("q", AT)

        words = (
            f"{f'Prometheus reports: {told}'.rstrip()}... (it names series: the operator's log has the rest at debug) (HTTP 422)"
        )
        assert trouble(words) == answer
        assert "vault" not in words
        assert [logging.DEBUG] == [record.levelno for record in caplog.records if "vault" in record.getMessage()]

    @pytest.mark.parametrize("said", ['1:4: parse error: unexpected "{" in aggregation', "parse error: unexpected character: '['"])
    async def test_brackets_that_a_query_has_wrong_are_told(self, prometheus, connect, said):
        """Errors of grammar quote the query's own text."""
        prometheus.refuses(said, 400)

        assert trouble(f"Prometheus reports: {said} (HTTP 400)") == await connect(prometheus.address).query("q", AT)

    async def test_an_error_is_not_tried_again(self, prometheus, connect):
        """The next look is the next try: a thread that waits and retries blocks the others."""
        prometheus.says(503, "<html>", Retry_After="60")

        answer = await connect(prometheus.address).query("q", AT)

        assert answer == trouble("the server answers 503 Service Unavailable, which is no answer of the Prometheus API")
        assert len(prometheus.paths) == 1

    @pytest.mark.parametrize("status", [401, 403])
    async def test_refused_credentials(self, prometheus, connect, status):
        """A proxy that wants other credentials says so by its status."""
        prometheus.says(status, "go away")

        expected = trouble(f"the server refuses the credentials (HTTP {status})")
        assert expected == await connect(prometheus.address).query("q", AT)

    async def test_a_status_that_nobody_knows(self, prometheus, connect):
        """There are proxies with statuses of their own."""
        prometheus.says(599, "")

        expected = trouble("the server answers 599 unknown status, which is no answer of the Prometheus API")
        assert expected == await connect(prometheus.address).query("q", AT)

    async def test_a_redirect_is_not_followed(self, prometheus, servers, connect):
        """Headers would go to a host that nobody configured."""
        other = servers()
        other.gives_value("1")
        prometheus.says(302, "", Location=f"{other.address}/login")

        answer = await connect(prometheus.address, headers={"X-Scope-OrgID": "shop"}).query("q", AT)

        assert answer == trouble("the server redirects to another address (HTTP 302): give the final address")
        assert other.paths == []

    @pytest.mark.parametrize("body", ["<html>welcome</html>", "", '{"data": {"result": ['])
    async def test_an_answer_that_is_not_json(self, prometheus, connect, body):
        """A login page comes with status 200."""
        prometheus.says(200, body)

        expected = trouble("the response is not JSON; is this a Prometheus API?")
        assert expected == await connect(prometheus.address).query("q", AT)

    @pytest.mark.parametrize("body", ["{}", "[]", "3", "null", '{"data": null}', '{"data": {}}', '{"data": {"result": [[]]}}'])
    async def test_json_of_something_else(self, prometheus, connect, body):
        """JSON alone makes no Prometheus."""
        prometheus.says(200, body)

        assert isinstance(await connect(prometheus.address).query("q", AT), Trouble)

    async def test_an_answer_that_is_cut_off(self, prometheus, connect):
        """Half an answer is none."""

        def respond(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"data": {"result": []}}')
            handler.close_connection = True

        prometheus.does(respond)

        answer = await connect(prometheus.address).query("q", AT)

        assert isinstance(answer, Trouble)
        assert "IncompleteRead" in answer.message

    async def test_a_connection_that_is_closed_without_an_answer(self, prometheus, connect):
        """As a proxy does whose Prometheus just died."""
        prometheus.does(lambda handler: setattr(handler, "close_connection", True))

        expected = trouble(f"Remote end closed connection without response ({prometheus.address})")
        assert expected == await connect(prometheus.address).query("q", AT)

    async def test_an_answer_without_end(self, prometheus, connect):
        """A query that gives a million series does not fill the operator's memory."""

        def respond(handler):
            handler.send_response(200)
            handler.end_headers()
            handler.close_connection = True
            while not prometheus.wait_for_end(0):
                handler.wfile.write(b" " * 65536)

        prometheus.does(respond)

        expected = trouble("the answer is larger than 4 MiB: aggregate it to one number, or counters with sum by (pod) (...)")
        assert expected == await connect(prometheus.address).query("q", AT)


class TestHanging:
    """Servers that take a request and do not answer."""

    async def test_no_answer_in_time(self, prometheus, connect):
        """The deadline is kept and named."""
        prometheus.hangs()

        answer = await connect(prometheus.address, timeout="200ms").query("q", AT)

        assert answer == trouble(f"no answer from {prometheus.address} within 200ms")

    async def test_an_answer_byte_by_byte(self, prometheus, connect):
        """Each byte comes in time, and the whole does not."""

        def respond(handler):
            handler.send_response(200)
            handler.end_headers()
            handler.close_connection = True
            while not prometheus.wait_for_end(0.05):
                handler.wfile.write(b" ")

        prometheus.does(respond)

        answer = await connect(prometheus.address, timeout="200ms").query("q", AT)

        assert answer == trouble(f"no answer from {prometheus.address} within 200ms")

    async def test_one_server_does_not_block_another(self, servers, connect):
        """Each connection has threads of its own."""
        dead, alive = servers(), servers()
        dead.hangs()
        alive.gives_value("1")
        hanging = connect(dead.address, name="dead", timeout="30s", concurrency=2)
        looks = [asyncio.create_task(hanging.query("q", AT)) for _ in range(10)]
        await asyncio.sleep(0)

        answer = await connect(alive.address).query("q", AT)

        assert answer == Value(1.0)
        for look in looks:
            look.cancel()

    async def test_looks_do_not_pile_up(self, prometheus, connect):
        """While all threads hang, a look waits no longer than the timeout, and beyond some number not at all."""
        prometheus.hangs()
        connection = connect(prometheus.address, timeout="200ms", concurrency=1)
        started = time.monotonic()

        answers = await asyncio.gather(*(connection.query("q", AT) for _ in range(100)))

        assert time.monotonic() - started < 5
        assert {type(answer) for answer in answers} == {Trouble}
        busy = trouble("all 1 concurrent queries are waiting for an answer")
        assert answers.count(busy) >= 83

    async def test_it_recovers(self, prometheus, connect):
        """Once the server answers again, so does the connection."""
        prometheus.hangs()
        connection = connect(prometheus.address, timeout="1s", concurrency=1)
        await connection.query("q", AT)
        prometheus.gives_value("1")

        assert Value(1.0) == await connection.query("q", AT)

    async def test_a_look_that_is_given_up_frees_its_thread(self, prometheus, connect):
        """A cancelled look leaves the slot to the next one when its thread ends."""
        prometheus.hangs()
        connection = connect(prometheus.address, timeout="1s", concurrency=1)
        look = asyncio.create_task(connection.query("q", AT))
        await asyncio.sleep(0.01)
        look.cancel()
        prometheus.gives_value("1")
        answers = [await connection.query("q", AT) for _ in range(3)]

        assert answers[-1] == Value(1.0)

    async def test_a_closed_connection_asks_nothing(self, prometheus, connect):
        """The operator may be going down while a look begins."""
        connection = connect(prometheus.address)
        connection.close()

        assert trouble("it is closed") == await connection.query("q", AT)


class TestCredentials:
    """Secrets come from files, and go nowhere but to the server."""

    async def test_a_token_that_is_rotated(self, prometheus, connect, tmp_path):
        """The file is read again for every request."""
        prometheus.gives_value("1")
        token = tmp_path / "token"
        connection = connect(prometheus.address, bearerTokenFile=str(token))
        for content in ("first\n", "second\n"):
            token.write_text(content)
            await connection.query("q", AT)

        assert [headers["authorization"] for headers in prometheus.headers] == ["Bearer first", "Bearer second"]

    async def test_basic_authentication(self, prometheus, connect, tmp_path):
        """User and password from files."""
        prometheus.gives_value("1")
        (tmp_path / "user").write_text("tide")
        (tmp_path / "password").write_text("gate")
        by_file = {"usernameFile": str(tmp_path / "user"), "passwordFile": str(tmp_path / "password")}
        by_name = {"username": "tide", "passwordFile": str(tmp_path / "password")}

        await connect(prometheus.address, basicAuth=by_file).query("q", AT)
        await connect(prometheus.address, basicAuth=by_name).query("q", AT)

        assert [headers["authorization"] for headers in prometheus.headers] == ["Basic dGlkZTpnYXRl"] * 2

    async def test_headers(self, prometheus, connect, tmp_path):
        """Tenants and keys of gateways."""
        prometheus.gives_value("1")
        (tmp_path / "key").write_text("a key")
        headers = {"X-Scope-OrgID": "shop", "X-Api-Key": {"fromFile": str(tmp_path / "key")}}

        await connect(prometheus.address, headers=headers).query("q", AT)

        assert prometheus.headers[0]["x-scope-orgid"] == "shop"
        assert prometheus.headers[0]["x-api-key"] == "a key"
        assert prometheus.headers[0]["user-agent"] == "tidegate"

    async def test_the_users_netrc_is_not_used(self, prometheus, connect, tmp_path, monkeypatch):
        """Credentials that happen to lie about do not replace those that are configured."""
        prometheus.gives_value("1")
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
        (tmp_path / "netrc").chmod(0o600)
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        await connect(prometheus.address).query("q", AT)

        assert "authorization" not in prometheus.headers[0]

    @pytest.mark.parametrize("content", [None, "", "two\nlines", "ünlike"])
    async def test_a_file_that_cannot_be_used(self, prometheus, connect, tmp_path, content):
        """The message names the field, neither path nor content of the file, and the server is not asked without credentials."""
        token = tmp_path / "token"
        if content is not None:
            token.write_text(content)

        answer = await connect(prometheus.address, bearerTokenFile=str(token)).query("q", AT)

        expected = (
            "cannot read bearerTokenFile: No such file or directory"
            if content is None
            else "bearerTokenFile is empty or holds more than one line of printable ASCII"
        )
        assert answer == trouble(expected)
        assert prometheus.paths == []

    async def test_secrets_do_not_leak(self, prometheus, connect, tmp_path, caplog):
        """Not even where the server echoes what it was sent."""
        caplog.set_level(logging.DEBUG)
        (tmp_path / "token").write_text("hunter22")
        (tmp_path / "key").write_text("swordfish")
        prometheus.does(
            lambda handler: (
                handler.send_response(400),
                handler.send_header("Content-Length", "80"),
                handler.end_headers(),
                handler.wfile.write(
                    json.dumps({"error": f"{handler.headers['Authorization']} {handler.headers['X-Key']} h=hunter22"})
                    .ljust(80)
                    .encode()
                ),
            )
        )
        connection = connect(
            prometheus.address,
            bearerTokenFile=str(tmp_path / "token"),
            headers={"X-Key": {"fromFile": str(tmp_path / "key")}},
        )

        answer = await connection.query("q", AT)

        assert answer == trouble("Prometheus reports: *** *** h=*** (HTTP 400)")
        for text in (caplog.text, repr(connection.config), str(connection.config)):
            assert "hunter22" not in text
            assert "swordfish" not in text

    async def test_a_secret_that_lies_where_words_are_cut(self, prometheus, connect, tmp_path):
        """Half of a secret is redacted, too: words are cut only when it has been looked for."""
        (tmp_path / "token").write_text("hunter22hunter22")
        prometheus.refuses(f"{'x' * 474}hunter22hunter22")

        answer = await connect(prometheus.address, bearerTokenFile=str(tmp_path / "token")).query("q", AT)

        assert isinstance(answer, Trouble)
        assert answer.message.endswith(f"{'x' * 474}*** (HTTP 400)")

    async def test_control_characters_are_not_passed_on(self, prometheus, connect):
        """What clears a terminal, or begins a line of its own in a log, is no part of a message."""
        prometheus.refuses("one\ntwo \x1b[2Jthree\x00")

        answer = await connect(prometheus.address).query("q", AT)

        assert answer == trouble("Prometheus reports: one two \ufffd[2Jthree\ufffd (HTTP 400)")


class TestTLS:
    """Servers with certificates."""

    async def test_a_private_authority_and_a_server_of_another_name(self, servers, connect, authority, serving_tls):
        """As through a port-forward or an address without a name."""
        server = servers(serving_tls)
        server.gives_value("1")
        tls = {"caFile": str(authority / "ca.crt"), "serverName": "prometheus.test"}

        assert Value(1.0) == await connect(server.address, tls=tls).query("q", AT)

    async def test_a_server_of_another_name_is_refused(self, servers, connect, authority, serving_tls):
        """Without serverName the address counts."""
        server = servers(serving_tls)

        answer = await connect(server.address, tls={"caFile": str(authority / "ca.crt")}).query("q", AT)

        assert isinstance(answer, Trouble)
        assert "certificate is not valid for '127.0.0.1'" in answer.message

    async def test_an_unknown_authority_is_refused(self, servers, connect, serving_tls):
        """The public authorities know nothing of it."""
        server = servers(serving_tls)

        answer = await connect(server.address, tls={"serverName": "prometheus.test"}).query("q", AT)

        assert answer == trouble(f"unable to get local issuer certificate ({server.address})")

    async def test_verification_can_be_switched_off_and_that_is_logged(self, servers, connect, serving_tls, caplog):
        """For a trial, and nobody can say they did not know."""
        server = servers(serving_tls)
        server.gives_value("1")

        answer = await connect(server.address, tls={"insecureSkipVerify": True}).query("q", AT)

        assert answer == Value(1.0)
        assert "Prometheus connection default does not verify its server" in caplog.text

    async def test_an_authority_that_is_rotated(self, servers, connect, authority, serving_tls, tmp_path):
        """A new bundle counts from the next query on."""
        server = servers(serving_tls)
        server.gives_value("1")
        bundle = tmp_path / "ca.crt"
        connection = connect(server.address, tls={"caFile": str(bundle), "serverName": "prometheus.test"})
        without = await connection.query("q", AT)
        shutil.copy(authority / "ca.crt", bundle)

        assert isinstance(without, Trouble)
        assert "tls.caFile" in without.message
        assert str(bundle) not in without.message
        assert Value(1.0) == await connection.query("q", AT)
