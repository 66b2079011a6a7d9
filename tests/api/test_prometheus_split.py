"""What a real Prometheus says of stable before a split and since: by the user's Service before, by the operator's since."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from api.test_prometheus_expositions import CASES, Case, Scene, everything, gate, names, reader, serving
from tidegate.judge.split import ALPHA, Finding, judged
from tidegate.prometheus.reader import Reader

__all__ = ["reader"]

pytestmark = [pytest.mark.api, pytest.mark.timeout(180), pytest.mark.xdist_group("prometheus-split")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A Prometheus of this module's own."""
    yield from serving(tmp_path_factory.mktemp("prometheus"), everything())


@pytest.mark.parametrize("broken", [True, False])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.source)
async def test_harm_is_told_from_a_calm_split(scene: Scene, reader: Reader, case: Case, broken: bool):
    """Given 500 good answers before the split, when 60 of 90 fail since, that is harm; when none does, it is not."""
    # Before the split a gateway's requests all go by another name than stable's.
    before, page = "stable" if case.service is None else "canary", scene.page(case, "stable")
    watched = gate(case.source, "ErrorRate")
    scene.answer(case, before, 1, case.good)
    await scene.scraped(page)
    scene.answer(case, before, 500, case.good)
    split_at = await scene.scraped(page)

    scene.answer(case, "stable", 30, case.good)
    scene.answer(case, "stable", 60, case.error if broken else case.good)
    at = max(await scene.scraped(page), split_at + timedelta(seconds=1))
    found = (await reader.around(watched, names(), "bbb", at, split_at)).around

    assert found is not None
    assert (found.after.total, found.after.bad) == (90, 60 if broken else 0)
    assert found.before.total >= 400
    assert found.before.bad <= found.before.total / 2
    if not broken:
        assert judged(found, alpha=ALPHA) is not Finding.HARM
