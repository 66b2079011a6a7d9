"""Whether another Release has proved a version: what its status must say, and when to ask again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.api.release import Match
from tidegate.governance.upstreams import Proved, Unproved, UpstreamView, Wanted, demand, proved, same_image

MONDAY = datetime(2026, 11, 30, 10, tzinfo=UTC)
DAY = timedelta(hours=24)
IMAGES = {"app": "shop/checkout:v1.4"}
WANTED = Wanted("v1.4", IMAGES)
STAGING = UpstreamView(
    release="checkout",
    namespace="staging",
    uid="1",
    version="v1.4",
    revision="aaaa",
    images=IMAGES,
    promoted_at=MONDAY,
)


def judged(upstream: UpstreamView = STAGING, *, after: timedelta = DAY, match: Match = Match.IMAGES) -> Proved | Unproved:
    """Return what is found so long after Monday at ten, with a soak of a day."""
    return proved(upstream, WANTED, DAY, match, MONDAY + after)


def why(upstream: UpstreamView, *, after: timedelta = DAY, match: Match = Match.IMAGES) -> str:
    """Return why a version is not proved."""
    found = judged(upstream, after=after, match=match)
    assert isinstance(found, Unproved)
    return found.why


def test_a_version_is_proved_once_it_has_run_for_the_soak():
    """At the very moment at which the soak is over, and from then on."""
    assert judged() == Proved(MONDAY + DAY)
    assert judged(after=10 * DAY) == Proved(MONDAY + DAY)


def test_a_soak_that_lasts_says_until_when():
    """People read when it was promoted and when its time is over; the same moment brings the Release back."""
    found = judged(after=timedelta(hours=3))

    assert found == Unproved("promoted Mon 2026-11-30 10:00 UTC, so until Tue 2026-12-01 10:00 UTC", MONDAY + DAY)
    assert demand(STAGING, WANTED, DAY) == "for checkout in staging to have run v1.4 for 24h"


def test_a_release_of_another_cluster_is_called_with_it():
    """Two of the same name are told apart in every sentence."""
    west = replace(STAGING, cluster="west")

    assert demand(west, WANTED, DAY) == "for checkout in staging (cluster west) to have run v1.4 for 24h"
    assert judged(west) == judged()


def test_without_a_soak_a_promotion_is_enough():
    """A soak of nothing asks for the promotion alone, and the sentence says so."""
    assert proved(STAGING, WANTED, timedelta(), Match.IMAGES, MONDAY) == Proved(MONDAY)
    assert demand(STAGING, WANTED, timedelta()) == "for checkout in staging to have promoted v1.4"


def test_a_rollback_begins_the_soak_again():
    """A later version was rolled back to this one: the clock starts again when that was over."""
    upstream = replace(STAGING, rolled_back_at=MONDAY + timedelta(hours=20))

    found = judged(upstream)

    assert found == Unproved(
        "a rollback to it ended Tue 2026-12-01 06:00 UTC, so until Wed 2026-12-02 06:00 UTC", MONDAY + timedelta(hours=44)
    )
    assert judged(upstream, after=timedelta(hours=44)) == Proved(MONDAY + timedelta(hours=44))


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        (replace(STAGING, unread="this operator knows no cluster west"), "this operator knows no cluster west"),
        (replace(STAGING, exists=False), "there is no such Release: it was deleted, or was never there"),
        (replace(STAGING, deleting=True), "that Release is being deleted"),
        (replace(STAGING, version=""), "no version serves there yet"),
        (replace(STAGING, version="v1.3", images={"app": "shop/checkout:v1.3"}), "v1.3 serves there"),
        (
            replace(STAGING, images={"app": "shop/checkout:v1.4@sha256:aa"}),
            "v1.4 serves there, with another image or none for container app",
        ),
        (replace(STAGING, images={}), "the images are not known"),
        (
            replace(STAGING, promoted_at=None),
            "it was rolled out there without Tidegate, so nothing has judged it; promote it or a later version there",
        ),
        (replace(STAGING, rolling_back=True), "a later version is being rolled back there"),
        (replace(STAGING, replicas=0), "it is scaled to 0 there"),
        (replace(STAGING, ready=False), "its pods there are not all ready"),
    ],
)
def test_what_keeps_a_version_from_being_proved(upstream: UpstreamView, words: str):
    """Each has its sentence, and no time at which it ends by itself."""
    found = judged(upstream, after=10 * DAY)

    assert found == Unproved(words)


def test_by_version_the_name_counts_alone():
    """Registries differ between environments: by choice the name is enough."""
    elsewhere = replace(STAGING, images={"app": "staging.example.com/checkout:v1.4"})

    assert isinstance(judged(elsewhere), Unproved)
    assert judged(elsewhere, match=Match.VERSION) == Proved(MONDAY + DAY)
    assert why(replace(elsewhere, version="v1.5"), match=Match.VERSION) == "v1.5 serves there"


def test_every_container_counts():
    """A container that only this Release has was proved by nobody; one that only the other has is no matter."""
    more = Wanted("v1.4", {**IMAGES, "proxy": "envoy:1"})

    def found(images: dict[str, str]) -> Proved | Unproved:
        return proved(replace(STAGING, images=images), more, DAY, Match.IMAGES, MONDAY + DAY)

    assert found(IMAGES) == Unproved("v1.4 serves there, with another image or none for container proxy")
    assert found({**IMAGES, "proxy": "envoy:2"}) == found(IMAGES)
    assert found({**IMAGES, "proxy": "envoy:1", "debug": "busybox"}) == Proved(MONDAY + DAY)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("checkout:v1", "docker.io/library/checkout:v1", True),
        ("checkout:v1", "docker.io/checkout:v1", True),
        ("shop/checkout", "docker.io/shop/checkout:latest", True),
        ("localhost/checkout:v1", "docker.io/localhost/checkout:v1", False),
        ("registry:5000/checkout", "registry:5000/checkout:latest", True),
        ("registry:5000/checkout:v1", "checkout:v1", False),
        ("checkout:v1@sha256:aa", "mirror.example.com/c@sha256:aa", True),
        ("checkout:v1@sha256:aa", "checkout:v1@sha256:bb", False),
        ("checkout:v1@sha256:aa", "checkout:v1", False),
        ("checkout:v1", "checkout:v2", False),
        ("", "", False),
        ("checkout:v1", None, False),
    ],
)
def test_references_of_the_same_image(one: str, other: str | None, *, same: bool):
    """A digest goes before a tag, and one without a digest never proves one that has it."""
    assert same_image(one, other) is same
    assert same_image(other or "", one) is same


# Whatever a status says.

moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
images = st.dictionaries(
    st.sampled_from(["app", "proxy"]), st.sampled_from(["", "a:1", "a:2", "a:1@sha256:x", "b@sha256:x", "b@sha256:y"]), max_size=2
)
upstreams = st.builds(
    UpstreamView,
    release=st.just("checkout"),
    namespace=st.just("staging"),
    exists=st.booleans(),
    deleting=st.booleans(),
    version=st.sampled_from(["", "v1", "v2"]),
    images=images,
    promoted_at=st.none() | moments,
    rolled_back_at=st.none() | moments,
    replicas=st.integers(0, 2),
    ready=st.booleans(),
    rolling_back=st.booleans(),
    unread=st.sampled_from(["", "away"]),
)
wanteds = st.builds(Wanted, st.sampled_from(["v1", "v2"]), images)
soaks = st.timedeltas(timedelta(), timedelta(days=30))


@given(upstreams, wanteds, soaks, st.sampled_from(Match), moments)
def test_nothing_but_a_promotion_that_has_soaked_proves(
    upstream: UpstreamView, wanted: Wanted, soak: timedelta, match: Match, now: datetime
):
    """Told by the facts themselves, and not in the order in which they are asked."""
    found = proved(upstream, wanted, soak, match, now)

    there = upstream.exists and not upstream.deleting and not upstream.unread and bool(upstream.version)
    sound = upstream.ready and upstream.replicas > 0 and not upstream.rolling_back
    began = max((m for m in (upstream.promoted_at, upstream.rolled_back_at) if m is not None), default=None)
    soaked = upstream.promoted_at is not None and began is not None and now - began >= soak
    if match is Match.VERSION:
        same = upstream.version == wanted.version
    else:
        same = bool(wanted.images) and all(same_image(image, upstream.images.get(c)) for c, image in wanted.images.items())
    assert isinstance(found, Proved) is (there and sound and soaked and same)


@given(upstreams, wanteds, soaks, st.sampled_from(Match), moments)
def test_at_the_moment_that_is_told_it_is_proved_and_no_sooner(
    upstream: UpstreamView, wanted: Wanted, soak: timedelta, match: Match, now: datetime
):
    """The time to ask again is neither late nor early, as long as nothing happens."""
    found = proved(upstream, wanted, soak, match, now)

    if isinstance(found, Unproved) and found.until is not None:
        assert found.until > now
        assert proved(upstream, wanted, soak, match, found.until) == Proved(found.until)
        assert isinstance(proved(upstream, wanted, soak, match, found.until - timedelta(microseconds=1)), Unproved)
    if isinstance(found, Proved):
        assert found.since <= now
        assert isinstance(proved(upstream, wanted, soak, match, now + timedelta(days=1)), Proved)


@given(upstreams, wanteds, soaks, st.sampled_from(Match), moments)
def test_nothing_but_name_version_and_standing_is_told(
    upstream: UpstreamView, wanted: Wanted, soak: timedelta, match: Match, now: datetime
):
    """Images of another namespace are not for those who read this Release."""
    found = proved(upstream, wanted, soak, match, now)

    if isinstance(found, Unproved):
        assert not any(image and image in found.why for image in upstream.images.values())
