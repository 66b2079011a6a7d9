"""The client asks in the API's terms, takes what it gets apart, and turns every failure into one family of errors."""

import asyncio
import json
from importlib import metadata

import pytest
from aiohttp import web

from tidegate.cluster.client import Cluster, WatchEvent
from tidegate.cluster.errors import (
    ApiError,
    Conflict,
    Expired,
    NotFound,
    ServerTimeout,
    Silent,
    TooManyRequests,
    Unavailable,
)
from tidegate.cluster.resources import PODS
from unit.cluster.loopback import Loopback, bookmark, event, listing, pod, refuse, reply, stream

POD = PODS.path("shop", "a")


async def test_list_reads_all_pages_and_says_what_the_items_are(cluster: Cluster, loopback: Loopback):
    """The items of a list carry no apiVersion and kind on the wire; those of this list do."""
    loopback.lists.append(listing(pod("a", 3), version=9, **{"continue": "more"}))
    loopback.lists.append(listing(pod("b", 4), version=9))

    found = await cluster.list(PODS.path(), label_selector="app=x", field_selector="spec.nodeName=n", limit=1)

    assert [pod("a", 3), pod("b", 4)] == found.items
    assert "9" == found.resource_version
    selection = {"labelSelector": "app=x", "fieldSelector": "spec.nodeName=n", "limit": "1"}
    assert [selection, {**selection, "continue": "more"}] == [dict(request.query) for request in loopback.requests]


async def test_list_whose_token_expired_is_read_in_one_page(cluster: Cluster, loopback: Loopback):
    """The server's history ran out between two pages: ask once more, for everything."""
    loopback.lists.append(listing(pod("a", 3), version=9, **{"continue": "more"}))
    loopback.lists.append(refuse(410, "Expired"))
    loopback.lists.append(listing(pod("a", 3), pod("b", 4), version=20))

    found = await cluster.list(PODS.path(), limit=1)

    assert [pod("a", 3), pod("b", 4)] == found.items
    assert {} == dict(loopback.requests[-1].query)


async def test_pages_with_more_bytes_than_are_read_at_once_are_asked_with_fewer_objects(cluster: Cluster, loopback: Loopback):
    """However many objects were asked for and however large they are, no more lies in memory than a page may have."""
    pods = {f"p{number}": pod(f"p{number}", number + 1, annotations={"large": "x" * 600_000}) for number in range(9)}

    async def page(request: web.Request) -> web.StreamResponse:
        first, most = int(request.query.get("continue", 0)), int(request.query["limit"])
        chosen = list(pods.values())[first : first + most]
        more = {"continue": str(first + most)} if first + most < len(pods) else {}
        return await listing(*chosen, version=20, **more)(request)

    loopback.otherwise = page

    found = await cluster.list(PODS.path(), slim=lambda obj: obj["metadata"]["name"])

    assert list(pods) == found.items
    asked = [(request.query.get("continue", "0"), request.query["limit"]) for request in loopback.requests]
    assert [("0", "100"), ("0", "25"), ("0", "6"), ("6", "6")] == asked


async def test_a_server_that_is_not_ones_own_cannot_send_without_end(loopback: Loopback):
    """Neither a page nor an event: it counts as no answer, and what was read of it is let go."""
    loopback.lists.append(reply("x" * 200_000))
    loopback.watches.append(stream(b"x" * 200_000))

    async with Cluster(loopback.connection(), largest=100_000) as other:
        with pytest.raises(Unavailable, match="more than 100000 bytes"):
            await other.list(PODS.path(), limit=0)
        with pytest.raises(Unavailable, match="more than 100000 bytes"):
            async for _ in other.watch(PODS.path(), "1"):
                pass


async def test_pages_without_end_are_given_up(loopback: Loopback):
    """A server that is none of one's own may say of each page that there is another one."""
    loopback.otherwise = listing(*(pod(f"p{n}", 1) for n in range(10)), version=20, **{"continue": "more"})

    async with Cluster(loopback.connection(), longest=1000) as other:
        with pytest.raises(Unavailable, match="more than 1000 objects"):
            await other.list(PODS.path())


async def test_an_object_that_is_larger_than_a_page_is_read_all_the_same(cluster: Cluster, loopback: Loopback):
    """Then it is alone in its page."""
    large = pod("a", 1, annotations={"large": "x" * 5_000_000})
    loopback.otherwise = listing(large, version=20)

    found = await cluster.list(PODS.path())

    assert [large] == found.items
    assert ["100", "25", "6", "1"] == [request.query["limit"] for request in loopback.requests]


async def test_empty_list(cluster: Cluster, loopback: Loopback):
    """Some servers write `items: null`."""
    loopback.lists.append(reply({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": None}))

    assert [] == (await cluster.list(PODS.path())).items


async def test_writes_say_how_and_who(cluster: Cluster, loopback: Loopback):
    """Each write has its content type, its field manager and its options."""
    for _ in range(6):
        loopback.others.append(reply(pod("a", 1)))

    await cluster.apply(pod("a", 1), subresource="status")
    await cluster.apply(pod("a", 1), manager="other", force=False)
    await cluster.json_patch(POD, [{"op": "remove", "path": "/x"}])
    await cluster.merge_patch(POD, {"x": None})
    await cluster.create(PODS.path("shop"), pod("a", 1))
    await cluster.update(POD, pod("a", 1))

    assert [
        ("PATCH", POD + "/status", "application/apply-patch+yaml", {"fieldManager": "tidegate", "force": "true"}),
        ("PATCH", POD, "application/apply-patch+yaml", {"fieldManager": "other", "force": "false"}),
        ("PATCH", POD, "application/json-patch+json", {"fieldManager": "tidegate"}),
        ("PATCH", POD, "application/merge-patch+json", {"fieldManager": "tidegate"}),
        ("POST", PODS.path("shop"), "application/json", {"fieldManager": "tidegate"}),
        ("PUT", POD, "application/json", {"fieldManager": "tidegate"}),
    ] == [(r.method, r.path, r.content_type, dict(r.query)) for r in loopback.requests]
    assert {f"tidegate/{metadata.version('tidegate')}"} == {r.headers["User-Agent"] for r in loopback.requests}


async def test_delete_options(cluster: Cluster, loopback: Loopback):
    """Preconditions and propagation are said in the body."""
    loopback.others.append(reply({"kind": "Status", "status": "Success"}))
    loopback.others.append(reply({"kind": "Status", "status": "Success"}))

    await cluster.delete(POD, uid="u1", resource_version="7", propagation="Foreground")
    await cluster.delete(POD)

    options = {"apiVersion": "v1", "kind": "DeleteOptions"}
    wanted = {"preconditions": {"uid": "u1", "resourceVersion": "7"}, "propagationPolicy": "Foreground"}
    assert [{**options, **wanted}, options] == loopback.bodies


async def test_every_request_is_counted(loopback: Loopback):
    """By verb, resource and status; one without an answer counts as 0."""
    seen: list[tuple[str, str, int]] = []
    loopback.others.append(reply(pod("a", 1)))
    loopback.others.append(refuse(404, "NotFound"))
    cluster = Cluster(loopback.connection(), observe=lambda verb, what, status, _: seen.append((verb, what, status)))
    async with cluster:
        await cluster.get(POD)
        with pytest.raises(NotFound):
            await cluster.merge_patch(POD + "/status", {})
        await loopback.server.close()
        with pytest.raises(Unavailable, match="get pods a in shop"):
            await cluster.get(POD)

    assert [("get", "pods", 200), ("patch", "pods/status", 404), ("get", "pods", 0)] == seen


async def test_answer_that_does_not_come_in_time(loopback: Loopback):
    """Every request has a deadline."""

    async def dawdle(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    loopback.others.append(dawdle)
    async with Cluster(loopback.connection(), timeout=0.05) as cluster:
        with pytest.raises(Unavailable, match="no answer within"):
            await cluster.get(POD)


async def test_answer_of_something_that_is_not_the_api(cluster: Cluster, loopback: Loopback):
    """A proxy's page is an error with its words, whatever its status."""
    loopback.others.append(reply("<html>\n Bad gateway </html>", status=502))
    loopback.others.append(reply("<html> Welcome </html>"))
    loopback.others.append(reply("404 page not found", status=404))

    with pytest.raises(Unavailable, match="<html> Bad gateway </html>"):
        await cluster.get(POD)
    with pytest.raises(Unavailable, match="not JSON: <html> Welcome"):
        await cluster.get(POD)
    with pytest.raises(NotFound, match="404 page not found"):
        await cluster.get(POD)


async def test_retry_after_header(cluster: Cluster, loopback: Loopback):
    """The header counts where the body says nothing."""
    loopback.others.append(reply("slow down", status=429, headers={"Retry-After": "4"}))

    with pytest.raises(TooManyRequests) as refused:
        await cluster.get(POD)

    assert 4.0 == refused.value.retry_after


async def test_redirects_are_not_followed(cluster: Cluster, loopback: Loopback):
    """Credentials do not travel to where an answer points."""
    loopback.others.append(reply("", status=302, headers={"Location": "http://127.0.0.1:1/"}))

    with pytest.raises(ApiError, match="HTTP 302"):
        await cluster.get(POD)


async def test_closed_client(cluster: Cluster):
    """A request after the end is Unavailable, like any other that gets no answer."""
    await cluster.close()
    with pytest.raises(Unavailable):
        await cluster.get(POD)


async def test_client_closed_after_use(cluster: Cluster, loopback: Loopback):
    """The same once connections were open."""
    loopback.others.append(reply(pod("a", 1)))
    await cluster.get(POD)
    await cluster.close()

    with pytest.raises(Unavailable, match="shutting down"):
        await cluster.get(POD)


async def test_watch_asks_for_bookmarks_and_an_end(cluster: Cluster, loopback: Loopback):
    """A watch goes on from a version, with bookmarks and a lifetime; it says when it is open."""
    opened: list[bool] = []
    loopback.watches.append(stream(event("ADDED", pod("a", 5)), bookmark(8), then="end"))

    events = [event async for event in cluster.watch(PODS.path(), "4", lifetime=99, on_open=lambda: opened.append(True))]

    assert [WatchEvent("ADDED", pod("a", 5)), WatchEvent("BOOKMARK", bookmark(8)["object"])] == events
    assert [True] == opened
    query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "4", "timeoutSeconds": "99"}
    assert query == dict(loopback.requests[0].query)


async def test_watch_takes_lines_however_they_are_cut(cluster: Cluster, loopback: Loopback):
    """Large objects, several in a chunk, one over several chunks, and empty lines."""
    large = event("ADDED", pod("large", 1, annotations={"x": "y" * 3_000_000}))
    lines = json.dumps(large).encode() + b"\n\n" + b"".join(json.dumps(bookmark(n)).encode() + b"\n" for n in range(2, 5))
    pieces = [lines[start : start + 700_001] for start in range(0, len(lines), 700_001)]
    loopback.watches.append(stream(*pieces, then="end"))

    events = [event async for event in cluster.watch(PODS.path(), "0")]

    assert ["1", "2", "3", "4"] == [event.object["metadata"]["resourceVersion"] for event in events]


@pytest.mark.parametrize(("code", "reason", "kind"), [(410, "Expired", Expired), (504, "Timeout", ServerTimeout)])
async def test_error_in_a_watch(cluster: Cluster, loopback: Loopback, code: int, reason: str, kind: type[ApiError]):
    """An ERROR event is the error that its Status stands for."""
    status = {"kind": "Status", "code": code, "reason": reason, "message": "words"}
    loopback.watches.append(stream(event("ERROR", status)))

    with pytest.raises(kind, match="watch pods: words"):
        await anext(cluster.watch(PODS.path(), "1"))


async def test_watch_that_is_refused(cluster: Cluster, loopback: Loopback):
    """A refusal before the stream begins is an error like any other."""
    loopback.watches.append(refuse(410, "Expired"))

    with pytest.raises(Expired):
        await anext(cluster.watch(PODS.path(), "1"))


async def test_watch_that_falls_silent(cluster: Cluster, loopback: Loopback):
    """Silence beyond the limit is noticed: a dead connection may never say so."""
    loopback.watches.append(stream(bookmark(2)))
    watch = cluster.watch(PODS.path(), "1", inactivity=0.05)

    assert "BOOKMARK" == (await anext(watch)).type
    with pytest.raises(Silent):
        await anext(watch)


async def test_watch_that_breaks_off(cluster: Cluster, loopback: Loopback):
    """A lost connection is Unavailable."""
    loopback.watches.append(stream(bookmark(2), b'{"type": "ADD', then="drop"))
    watch = cluster.watch(PODS.path(), "1")

    with pytest.raises(Unavailable):
        _ = [event async for event in watch]


async def test_conflict_names_the_managers(cluster: Cluster, loopback: Loopback):
    """Without force the fields of others are listed."""
    causes = [{"reason": "FieldManagerConflict", "field": ".spec.replicas", "message": 'conflict with "kubectl"'}]
    loopback.others.append(refuse(409, "Conflict", details={"causes": causes}))

    with pytest.raises(Conflict) as refused:
        await cluster.apply(pod("a", 1), force=False)

    assert [".spec.replicas"] == [cause.field for cause in refused.value.causes]
