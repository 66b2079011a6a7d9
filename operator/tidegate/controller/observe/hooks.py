"""Calls the hooks of checks: beside the passes, bounded in time and size, and to no address but the one that is configured.

What a hook answers is not told but for its status: there may be a secret in it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tidegate.controller.observe.addresses import ClosedAddressError, OpenAddresses
from tidegate.controller.observe.hook_config import HookConfig, files_of
from tidegate.governance.runs import Call, RunState, RunView
from tidegate.runtime.answering import OneAnswerConnector
from tidegate.runtime.store import Object

LARGEST_ANSWER = 64 * 1024
"""Bytes of an answer that are read at most."""


class _RefusedError(Exception):
    """The answer is not as it should be; the message says how, for people."""


class _UnsentError(Exception):
    """The request could not be made; the message says why, for people."""


class Hooks:
    """Calls them.

    Args:
        hooks: what may be called, by name.
    """

    def __init__(self, hooks: Mapping[str, HookConfig]) -> None:
        self._hooks = dict(hooks)

    async def read(self, namespace: str, wanted: str) -> list[Object]:
        """Make requests, and return what came of each.

        Args:
            namespace: of the Release.
            wanted: as `runs.asked` has it.
        """
        calls = [Call(**(fields | {"statuses": tuple(fields["statuses"])})) for fields in orjson.loads(wanted)]
        views = await asyncio.gather(*(self.call(namespace, call) for call in calls))
        return [
            {"metadata": {}, "job": call.id, "state": view.state.value, "uid": "", "words": view.words}
            for call, view in zip(calls, views, strict=True)
        ]

    def there(self, namespace: str, name: str) -> str:
        """Return why a hook cannot be called from a namespace for a check, in words; empty where it can."""
        hook = self._hooks.get(name)
        if hook is not None and namespace in hook.namespaces:
            return ""
        # Whether there is one for others is not told.
        return f"the operator's configuration has no hook {name} that namespace {namespace} may call"

    def closed_to(self, namespace: str, name: str, flag: str) -> str:
        """Return why Releases of a namespace may not set a flag by a hook, in words; empty where they may."""
        hook = self._hooks.get(name)
        if hook is not None and hook.sets(namespace, flag):
            return ""
        cure = f"have its administrator add the flag to hooks.{name}.flags.{namespace}"
        return f"the operator's configuration lets namespace {namespace} set it by no hook {name}; {cure}"

    async def call(self, namespace: str, call: Call, *, flag: str | None = None) -> RunView:
        """Make a request, and return what came of it.

        Args:
            namespace: of the Release.
            call: what is asked.
            flag: that is set by it; None for a check.
        """
        words = self.there(namespace, call.hook) if flag is None else self.closed_to(namespace, call.hook, flag)
        if words:
            return RunView(RunState.UNMADE, words=words)
        hook = self._hooks[call.hook]
        try:
            async with asyncio.timeout(call.seconds):
                await _asked(hook, call)
        except _UnsentError as error:
            return RunView(RunState.UNMADE, words=str(error))
        except _RefusedError as error:
            return RunView(RunState.FAILED, words=str(error))
        except TimeoutError:
            return RunView(RunState.FAILED, words=f"did not answer within {call.seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return RunView(RunState.FAILED, words=_unreached(error))
        return RunView(RunState.COMPLETE)


async def _asked(hook: HookConfig, call: Call) -> None:
    """Make a request, and look at its answer.

    Raises:
        _RefusedError: the answer is not as it should be.
        _UnsentError: it could not be made.
        aiohttp.ClientError, OSError: the server could not be reached.
    """
    headers = {name: _value(name, path) for name, path in files_of(hook).items()}
    headers |= {"User-Agent": "tidegate", "Idempotency-Key": call.id}
    what: dict[str, Any] = {"json": dict(call.told)} if call.method == "POST" else {"params": dict(call.told)}
    connector = OneAnswerConnector(resolver=OpenAddresses(), ssl=_tls(hook), limit=1, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
        session.request(
            call.method,
            hook.address + call.path,
            headers=headers,
            allow_redirects=False,
            server_hostname=hook.tls.server_name,
            **what,
        ) as answer,
    ):
        _look_at_status(answer.status, call)
        if call.json_path:
            _look_at_body(await _body(answer), call)


def _look_at_status(status: int, call: Call) -> None:
    if status in call.statuses or (not call.statuses and 200 <= status < 300):
        return
    if 300 <= status < 400:
        raise _RefusedError(f"redirects to another address (HTTP {status}), which is not followed: configure the final one")
    expected = f", where {' or '.join(map(str, call.statuses))} is expected" if call.statuses else ""
    raise _RefusedError(f"answered HTTP {status}{expected}")


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise _RefusedError(f"answered with more than {LARGEST_ANSWER // 1024} KiB")
    return bytes(body)


def _look_at_body(body: bytes, call: Call) -> None:
    try:
        found = orjson.loads(body)
    except ValueError:
        raise _RefusedError("answered with no JSON") from None
    for part in call.json_path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and part.isascii() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise _RefusedError(f"answered without {call.json_path}")
    shown = found if isinstance(found, str) else json.dumps(found) if not isinstance(found, dict | list) else None
    if shown != call.json_equals:
        raise _RefusedError(f"answered with another {call.json_path} than {call.json_equals}")


def _value(name: str, path: str) -> str:
    """Return the value of a header; its file is named to nobody.

    Raises:
        _UnsentError: its file cannot be used.
    """
    try:
        text = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        text = ""
    if not text or not text.isprintable():
        raise _UnsentError(f"the file of its header {name} is missing, empty, or holds more than one line of printable ASCII")
    return text


def _tls(hook: HookConfig) -> ssl.SSLContext | bool:
    if not hook.address.startswith("https:"):
        return True
    tls = hook.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError):
        raise _UnsentError("a file of its tls section cannot be used") from None
    if tls.insecure_skip_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _unreached(error: Exception) -> str:
    """Return why a server could not be reached, without what the library says: there may be an address in it."""
    causes = (error, error.__cause__, getattr(error, "os_error", None))
    if any(isinstance(one, ClosedAddressError) for one in causes):
        return "leads to a link-local address or to a metadata service, which is never called"
    if isinstance(error, aiohttp.ClientSSLError):
        return "could not be verified by its certificate"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "could not be reached: its name cannot be resolved"
    return "could not be reached"
