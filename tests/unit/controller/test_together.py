"""Lists that several Releases ask for in one moment are one request, and each has what its own selector finds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import Unavailable
from tidegate.cluster.resources import PODS
from tidegate.controller.observe.on_demand import owned
from tidegate.controller.observe.together import MOST, Together
from unit.controller.api_server import ApiServer


def pod(api: ApiServer, name: str, namespace: str = "shop", **labels: str) -> None:
    metadata = {"namespace": namespace, "name": name, "labels": labels}
    api.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": {"phase": "Running"}})


class Asked(Cluster):
    """The API, with an account of what was listed."""

    def __init__(self, api: ApiServer) -> None:
        super().__init__(api.connection())
        self.lists: list[tuple[str, str]] = []

    async def list(self, path: str, *, label_selector: str | None = None, **more: Any) -> Any:
        self.lists.append((path.split("/")[4], label_selector or ""))
        return await super().list(path, label_selector=label_selector, **more)


@pytest.fixture
async def cluster(api: ApiServer) -> AsyncIterator[Asked]:
    cluster = Asked(api)
    yield cluster
    await cluster.close()


@pytest.fixture
def together(cluster: Asked) -> Together:
    return Together(cluster, PODS, slim=owned, collecting=0.01)


def names(pods: list[Any]) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in pods)


async def test_those_who_ask_together_share_one_list(together: Together, cluster: Asked, api: ApiServer) -> None:
    """Given three Services of a namespace, one list has the pods of all, and each gets those that it selects."""
    for app in ("cart", "web", "pay", "other"):
        pod(api, f"{app}-1", app=app)

    found = await asyncio.gather(*(together.read("shop", f"app={app}") for app in ("cart", "web", "pay")))

    assert [["cart-1"], ["web-1"], ["pay-1"]] == [names(one) for one in found]
    assert [("shop", "app in (cart,pay,web)")] == cluster.lists


async def test_one_alone_asks_as_ever(together: Together, cluster: Asked, api: ApiServer) -> None:
    """Who asks alone asks with their own selector, and what is kept has no labels."""
    pod(api, "web-1", app="web")

    (found,) = await together.read("shop", "app=web")

    assert [("shop", "app=web")] == cluster.lists
    assert {"namespace", "name", "uid"} == set(found["metadata"])


async def test_pairs_of_values_that_nobody_asks_for_are_nobodys(together: Together, api: ApiServer) -> None:
    """Given selectors of two keys, what has the value of one for one key and of another for the other is found by neither."""
    pod(api, "a", app="web", tier="front")
    pod(api, "b", app="pay", tier="back")
    pod(api, "neither", app="web", tier="back")

    found = await asyncio.gather(together.read("shop", "app=web,tier=front"), together.read("shop", "app=pay,tier=back"))

    assert [["a"], ["b"]] == [names(one) for one in found]


async def test_others_are_asked_apart(together: Together, cluster: Asked, api: ApiServer) -> None:
    """Another namespace, other keys, what comes later, and those beyond the most are lists of their own."""
    wanted = [("shop", "app=a"), ("blog", "app=a"), ("shop", "name=a")]

    await asyncio.gather(*(together.read(*one) for one in wanted))
    await together.read("shop", "app=b")
    await asyncio.gather(*(together.read("shop", f"app=s{number}") for number in range(MOST + 1)))

    assert sorted([*wanted, ("shop", "app=b")]) == sorted(cluster.lists[:4])
    assert 6 == len(cluster.lists)


async def test_no_address_is_longer_than_proxies_let_through(together: Together, cluster: Asked, api: ApiServer) -> None:
    """Selectors of long values are divided over several lists; one that is as long by itself is asked for as it is."""
    long = {number: f"app.example.com/name=service-{number:03}{'x' * 50},tier={number}{'y' * 50}" for number in range(60)}

    await asyncio.gather(*(together.read("shop", one) for one in long.values()))

    assert 2 <= len(cluster.lists) <= 4
    assert max(len(quote(selector)) for _, selector in cluster.lists) < 6000
    whole = ",".join(f"key-{number:03}={'z' * 60}" for number in range(100))
    await together.read("shop", whole)
    assert [("shop", whole)] == cluster.lists[-1:]


async def test_a_place_rests_between_two_lists(cluster: Asked) -> None:
    """Given a list, those who ask soon after it share the next one, though they do not ask in one moment."""
    together = Together(cluster, PODS, slim=owned, collecting=0.05)
    await together.read("shop", "app=a")
    late = [asyncio.create_task(together.read("shop", "app=b"))]
    await together.read("blog", "app=a")
    late.append(asyncio.create_task(together.read("shop", "app=c")))
    await asyncio.gather(*late)

    assert [("shop", "app=a"), ("blog", "app=a"), ("shop", "app in (b,c)")] == cluster.lists


async def test_a_full_list_rests_for_nobody(together: Together, cluster: Asked) -> None:
    """Given as many as a list takes, it is made at once, and those that are left come with the next."""
    await together.read("shop", "app=first")
    many = [asyncio.create_task(together.read("shop", f"app=s{number}")) for number in range(MOST + 1)]

    done, _ = await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)

    assert not many[-1].done()
    assert done <= {*many[:-1]}
    await asyncio.gather(*many)
    assert 3 == len(cluster.lists)


async def test_all_hear_of_a_failure(together: Together, api: ApiServer) -> None:
    """Given an API server that does not answer the list, all who have asked are told so."""
    api.fault("GET", "/pods", status=503)

    found = await asyncio.gather(together.read("shop", "app=a"), together.read("shop", "app=b"), return_exceptions=True)

    assert [Unavailable, Unavailable] == [type(one) for one in found]


async def test_one_that_asks_no_more_takes_nobody_along(together: Together, cluster: Asked, api: ApiServer) -> None:
    """Given two who ask, the one has its answer though the other is cancelled; where both are, nothing is asked."""
    pod(api, "web-1", app="web")
    one, other = (asyncio.create_task(together.read("shop", f"app={app}")) for app in ("web", "pay"))
    await asyncio.sleep(0)
    other.cancel()

    assert ["web-1"] == names(await one)
    alone = asyncio.create_task(together.read("shop", "app=web"))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    assert ["web-1"] == names(await together.read("shop", "app=web"))
    assert 2 == len(cluster.lists)
