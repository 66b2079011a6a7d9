"""Hooks that hang keep those waiting whose hooks they are, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tidegate.controller.observe.hook_config import HookConfig
from tidegate.controller.observe.on_demand import CALLS_AT_ONCE, CALLS_OF_ONE
from tidegate.controller.observe.questions import Questions
from tidegate.controller.observe.references import ReleaseKey
from tidegate.controller.observe.runs import asked
from tidegate.governance.runs import Call, RunState
from tidegate.traffic.routers import Routers
from unit.controller.api_server import settled
from unit.controller.stage import Stage


class Hanging:
    """A server that answers nobody who is loud before it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((await request.json())["namespace"])
        if self.asked[-1].startswith("loud"):
            await self.answers.wait()
        return web.json_response({})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Hanging, str]]:
    hanging, app = Hanging(), web.Application()
    app.router.add_post("/verify", hanging.answer)
    listening = TestServer(app, host="127.0.0.1")
    await listening.start_server()
    yield hanging, f"http://localhost:{listening.port}"
    hanging.answers.set()
    await listening.close()


def call(namespace: str, number: int) -> str:
    told = {"namespace": namespace}
    return asked([Call(id=f"{namespace}-{number}", hook="broker", method="POST", path="/verify", seconds=30.0, told=told)])


async def test_hooks_of_one_namespace_that_hang_keep_no_other_waiting(stage: Stage, server: tuple[Hanging, str]) -> None:
    """Seven namespaces have more requests under way than each may; an eighth is answered all the same, and what waits follows."""
    hanging, address = server
    loud = [f"loud-{number}" for number in range(CALLS_AT_ONCE // CALLS_OF_ONE - 1)]
    hooks = {"broker": HookConfig.model_validate({"address": address, "namespaces": [*loud, "shop"]})}
    options: dict[str, Any] = {"clock": stage.clock, "arrived": lambda _: None, "routers": Routers.all(), "hooks": hooks}
    questions = Questions(stage.cluster, **options)
    many = [ReleaseKey(namespace, f"r{number}") for namespace in loud for number in range(CALLS_OF_ONE + 4)]
    for number, key in enumerate(many):
        questions.calls.want(key, call(key.namespace, number))
    await settled(lambda: len(hanging.asked) == len(loud) * CALLS_OF_ONE)

    quiet = ReleaseKey("shop", "checkout")
    questions.calls.want(quiet, call("shop", 0))
    await settled(lambda: questions.calls.last(quiet) is not None)
    (answer,) = questions.calls.last(quiet) or ()
    assert RunState.COMPLETE.value == answer["state"]
    assert {CALLS_OF_ONE} == {hanging.asked.count(namespace) for namespace in loud}

    hanging.answers.set()
    await settled(lambda: all(questions.calls.last(key) for key in many))
    await questions.stop()
