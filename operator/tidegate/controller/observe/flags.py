"""Reads definitions of flags, and writes what is wanted of them: beside the passes, never in one.

What is wanted stands in the status before, so one that dies in between finds it there. Each write rests on what was read before it,
and where somebody has written meanwhile, that is read again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from weakref import WeakValueDictionary

import orjson
import structlog

from tidegate.cluster.client import Cluster
from tidegate.cluster.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from tidegate.cluster.resources import Resource
from tidegate.controller.observe.hooks import Hooks
from tidegate.governance.flags import FlagKind, FlagTarget, FlagView, Json, Outcome, Setting, UnfitError, Wish, outcome, view_of
from tidegate.governance.runs import Call, RunState
from tidegate.runtime.store import Object
from tidegate.traffic.our_marks import erase, marked
from tidegate.workloads.flag_files import RESOURCES, Definitions, definitions, patch

log = structlog.get_logger(__name__)

TRIES = 4
"""How often a definition is read and written at once, where others write to it at that moment."""
_UNSENT = (
    "could not be set: the definitions cannot be sent to the API server as JSON; look for half surrogate pairs, "
    "huge numbers and deep nesting in them"
)
HOOK_SECONDS = 10.0
"""How long a hook's answer may take."""


def asked(release: str, wishes: Iterable[Wish]) -> str:
    """Return what is asked for a Release, as one text."""
    return orjson.dumps({"release": release, "wishes": list(wishes)}, option=orjson.OPT_SORT_KEYS).decode()


def seen(items: Iterable[Object]) -> Mapping[str, FlagView]:
    """Return what was seen of definitions, by the ids of flags, from what was read."""
    return {str(one["flag"]): one["view"] for one in items}


class Flags:
    """Reads and writes them.

    Args:
        cluster: the API.
        hooks: calls hooks.
    """

    def __init__(self, cluster: Cluster, hooks: Hooks) -> None:
        self._cluster, self._hooks = cluster, hooks
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._writing: set[asyncio.Task[list[Object]]] = set()

    async def read(self, namespace: str, wanted: str) -> list[Object]:
        """Have definitions of objects say what is wanted, and return what they say then.

        Args:
            namespace: of the Release.
            wanted: as `asked` has it.

        Raises:
            ApiError: that is not known; it is asked again.
        """
        _, wishes = _wishes(wanted)
        groups: dict[tuple[FlagKind, str, str], list[Wish]] = {}
        for wish in wishes:
            groups.setdefault((wish.target.kind, wish.target.object, wish.target.key), []).append(wish)
        found: list[Object] = []
        for (kind, name, key), group in groups.items():
            task = asyncio.create_task(self._settled(namespace, kind, name, key, group))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
            # A write that was sent is not let go of: the next one on the same object waits for what becomes of it.
            found += await asyncio.shield(task)
        return found

    async def tell(self, namespace: str, wanted: str) -> list[Object]:
        """Tell hooks what is wanted, and return what they answer.

        Args:
            namespace: of the Release.
            wanted: as `asked` has it.
        """
        release, wishes = _wishes(wanted)
        return list(await asyncio.gather(*(self._told(namespace, release, wish) for wish in wishes)))

    async def stop(self) -> None:
        """End what is being written."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _settled(self, namespace: str, kind: FlagKind, name: str, key: str, wishes: list[Wish]) -> list[Object]:
        resource = RESOURCES[kind]
        path = resource.path(namespace, name)
        lock = self._locks.get((resource.kind, path))
        if lock is None:
            lock = self._locks[resource.kind, path] = asyncio.Lock()
        async with lock:
            for _ in range(TRIES - 1):
                try:
                    return await self._once(namespace, kind, path, key, wishes)
                except Conflict:
                    continue
            return await self._once(namespace, kind, path, key, wishes)

    async def _once(self, namespace: str, kind: FlagKind, path: str, key: str, wishes: list[Wish]) -> list[Object]:
        resource = RESOURCES[kind]
        try:
            obj = await self._cluster.get(path)
        except (NotFound, Forbidden) as error:
            return _troubled(wishes, _unread(error, resource, namespace))
        try:
            found = definitions(obj, kind, key)
        except UnfitError as error:
            return _troubled(wishes, str(error))
        new, outcomes = _new(found, wishes)
        try:
            if new:
                obj = await self._cluster.json_patch(path, patch(found, new))
                log.info("flags set", object=path, flags=sorted(new))
                found = definitions(obj, kind, key)
            if not any(wish.force for wish in wishes):
                await self._unmark(obj, path)
        except (Forbidden, Invalid) as error:
            return _troubled(wishes, _unwritten(error, resource, namespace))
        except UnfitError as error:
            return _troubled(wishes, str(error))
        except (TypeError, ValueError, RecursionError) as error:
            # Its words may have a value in them.
            log.warning("flags cannot be written", object=path, cause=type(error).__name__)
            return _troubled(wishes, _UNSENT)
        return [{"metadata": {}, "flag": wish.target.id, "view": _view(found, wish, outcomes)} for wish in wishes]

    async def _unmark(self, obj: Json, path: str) -> None:
        """Leave no mark, or the next server-side apply of its owner would be refused; where something is forced, it should be."""
        if marked(obj):
            try:
                await erase(obj, path, self._cluster)
            except ApiError as error:
                log.info("field managers not removed yet", object=path, cause=error.reason)

    async def _told(self, namespace: str, release: str, wish: Wish) -> Object:
        told, setting = {}, wish.setting
        if setting is not None:
            known = {"percent": "" if setting.percent is None else str(setting.percent), "variant": setting.variant}
            told = {"set": "before"} if setting == Setting("") else {"set": "given", **known}
        told |= {"switch": "back"} if wish.release else {"switch": "forced", "forced": wish.force} if wish.force else {}
        if not wish.writes:
            closed = self._hooks.closed_to(namespace, wish.target.object, wish.target.flag)
            return _answered(wish, f"cannot be set: {closed}" if closed else "")
        id_ = hashlib.sha256(f"{namespace}/{release}\n{wish.target.id}\n{wish.told}".encode()).hexdigest()[:32]
        call = Call(
            id=id_,
            hook=wish.target.object,
            method="POST",
            path="",
            seconds=HOOK_SECONDS,
            told={"namespace": namespace, "release": release, "flag": wish.target.flag, **told},
        )
        view = await self._hooks.call(namespace, call, flag=wish.target.flag)
        if view.state is RunState.COMPLETE:
            return _answered(wish, "")
        why = f"its hook {view.words}" if view.state is RunState.FAILED else view.words
        return _answered(wish, f"could not be set: {why}")


def _wishes(wanted: str) -> tuple[str, list[Wish]]:
    fields = orjson.loads(wanted)
    return fields["release"], [_wish(one) for one in fields["wishes"]]


def _wish(fields: Json) -> Wish:
    target = FlagTarget(**(fields["target"] | {"kind": FlagKind(fields["target"]["kind"])}))
    setting = Setting(**fields["setting"]) if fields["setting"] is not None else None
    return Wish(**(fields | {"target": target, "setting": setting, "known": tuple(Setting(**one) for one in fields["known"])}))


def _new(found: Definitions, wishes: Iterable[Wish]) -> tuple[dict[str, Json], dict[str, Outcome]]:
    """Return the definitions that are to be written, by flag, and what came of each wish, by its flag's id."""
    new: dict[str, Json] = {}
    outcomes: dict[str, Outcome] = {}
    for wish in wishes:
        flag = wish.target.flag
        if not wish.writes:
            continue
        try:
            definition = new.get(flag, found.of(flag))
        except UnfitError:
            # The view says so.
            continue
        came = outcomes[wish.target.id] = outcome(definition, wish)
        if came.definition is not None:
            new[flag] = came.definition
    return new, outcomes


def _view(found: Definitions, wish: Wish, outcomes: Mapping[str, Outcome]) -> FlagView:
    try:
        view = view_of(found.of(wish.target.flag), wish.on, wish.off)
    except UnfitError as error:
        return FlagView(trouble=str(error))
    came = outcomes.get(wish.target.id, Outcome(None))
    return replace(view, unfit=view.unfit or came.unset, trouble=view.trouble or came.unforced, told=wish.told)


def _troubled(wishes: Iterable[Wish], why: str) -> list[Object]:
    return [{"metadata": {}, "flag": wish.target.id, "view": FlagView(trouble=why)} for wish in wishes]


def _answered(wish: Wish, trouble: str) -> Object:
    return {"metadata": {}, "flag": wish.target.id, "view": FlagView(setting=Setting(""), trouble=trouble, told=wish.told)}


def _unread(error: ApiError, resource: Resource, namespace: str) -> str:
    if isinstance(error, NotFound):
        kind = "" if resource.group == "" else f", or the cluster does not have {resource.plural}.{resource.group}"
        return f"was not found: there is no {resource.kind} of that name in {namespace}{kind}"
    return f"cannot be read: the operator lacks the permission to get {resource.qualified} in {namespace}"


def _unwritten(error: Forbidden | Invalid, resource: Resource, namespace: str) -> str:
    if isinstance(error, Forbidden):
        # The words of admission name objects and rules; those of RBAC a verb. Neither has a value in it.
        return f"may not be set: {error.message}"
    return f"was refused by the API server: the {resource.kind} in {namespace} would not be valid ({error.reason})"
