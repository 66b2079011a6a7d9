"""What a leader that gives its lease up leaves behind for the next one: by it a standby knows whether it has seen all of it.

The standby's caches follow the API server by watches and are behind it by milliseconds, or by more if a watch has died. What the
leader has written or seen must not be unseen when the next one decides. Without a note, as after a crash, only new lists can tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tidegate.cluster.election import NOTE
from tidegate.cluster.resources import RELEASES
from tidegate.controller.observe.relations import Relations
from tidegate.runtime.sharding import WHOLE, Shard
from tidegate.runtime.shelf import version_of
from tidegate.runtime.store import Store


def note(store: Store, relations: Relations, shard: Shard = WHOLE) -> dict[str, str]:
    """Return what a leader has seen, as annotations of the Lease, for each kind that it writes.

    Args:
        store: what was seen.
        relations: which kinds are written.
        shard: the Releases that are its own.
    """
    return {NOTE + kind: _digest(store, kind, shard) for kind in sorted(_written(relations))}


def knows(store: Store, noted: Mapping[str, str], relations: Relations, shard: Shard = WHOLE) -> bool:
    """Whether all that is noted has been seen here, too; False where nothing is noted, or something else.

    Args:
        store: what was seen here.
        noted: annotations of the Lease.
        relations: which kinds are written.
        shard: the Releases that are the leader's own.
    """
    written = _written(relations)
    if not all(NOTE + kind in noted for kind in written):
        return False
    others = written - {RELEASES.kind}
    if not all(noted[NOTE + kind].isdecimal() and store.newest(kind) >= int(noted[NOTE + kind]) for kind in others):
        return False
    return noted[NOTE + RELEASES.kind] == _digest(store, RELEASES.kind, shard)


def _written(relations: Relations) -> set[str]:
    return {resource.kind for resource in relations.written}


def _digest(store: Store, kind: str, shard: Shard) -> str:
    """Return what stands for all that is known of a kind.

    Reflectors take events in, in their order, so for their kinds the newest object stands for all before it. Events of Releases are
    handed in by object: there every version must be the same.
    """
    if kind != RELEASES.kind:
        return str(max((version_of(obj) for obj in store.objects(kind)), default=0))
    # Those of others are written while this is read.
    own = (obj["metadata"] for obj in store.objects(kind) if shard.has(obj["metadata"]["namespace"], obj["metadata"]["name"]))
    known = (f"{metadata['uid']} {metadata['resourceVersion']}" for metadata in own)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:32]
