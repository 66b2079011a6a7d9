"""The rule for a Release that follows another: what is proved there is wanted here."""

from __future__ import annotations

from tidegate.api.followed import FollowedStatus
from tidegate.engine.draft import Draft
from tidegate.engine.following import next_one
from tidegate.engine.taken_over import Followed
from tidegate.engine.waits import CHANGED, Ruling
from tidegate.governance.upstreams import Proved, Unproved


def proved_images_are_taken_over(draft: Draft) -> Ruling:
    """No rollout is on, and the other Release has proved images that are not wanted here yet."""
    view, followed = draft.snap.following, draft.status.followed
    if draft.snap.release.spec.follow is None and followed is not None:
        draft.set(followed=None)
        return CHANGED
    if view is None or draft.deleting or draft.workload is None or draft.status.stable is None:
        return None
    if followed is not None and followed.held is not None:
        return None
    found = next_one(draft)
    if isinstance(found, Unproved) and found.until is not None:
        draft.wake(found.until)
    if not isinstance(found, Proved):
        return None
    upstream = view.upstream
    taken = FollowedStatus(
        release=upstream.release,
        namespace=upstream.namespace,
        cluster=upstream.cluster,
        version=upstream.version,
        images=dict(view.images),
        committed_at=upstream.committed_at,
        at=draft.now,
    )
    draft.set(followed=taken)
    draft.note(Followed(upstream.version, upstream.name))
    return CHANGED
