"""Evidence over time, as characters and as a picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.cli.plot import Series, svg, text

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def series(*points: float, needed: float = 2.477) -> Series:
    return Series("error-rate", NOON, timedelta(seconds=30), points, needed)


def test_evidence_that_rises_crosses_the_line() -> None:
    """Given evidence that grows, then the marks run from the floor on the left to above the line of what is needed on the right."""
    drawn = text(series(*(index / 10 - 1 for index in range(45))), width=80)
    line = next(index for index, row in enumerate(drawn) if "1 in 300" in row)

    assert "-" in drawn[line]
    assert drawn[0].rstrip().endswith("*")
    assert any("|**" in row for row in drawn)
    assert drawn.index(next(row for row in drawn if "|*" in row)) > line
    assert drawn[-1].split() == ["12:00:00", "12:22:00", "UTC"]


def test_a_terminal_gets_colours_and_a_file_none() -> None:
    """Colours are for people who look at a terminal."""
    rising = series(*(index / 10 for index in range(40)))

    assert any("\x1b[31m" in row for row in text(rising, width=80, colour=True))
    assert not any("\x1b" in row for row in text(rising, width=80))


@pytest.mark.parametrize("width", [10, 60, 100, 400])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """The drawing fits, down to a width at which nothing could be read, and does not sprawl over a very wide one."""
    drawn = text(series(*([0.0] * 64)), width=width)

    assert max(map(len, drawn)) <= min(max(width, 40), 120)


def test_nothing_is_drawn_of_nothing() -> None:
    """A gate without history has no drawing."""
    assert [] == text(series(), width=80)


@given(st.lists(st.floats(-50, 300), min_size=1, max_size=64), st.floats(0.3, 12), st.integers(20, 200))
def test_every_history_can_be_drawn(points: list[float], needed: float, width: int) -> None:
    """Whatever the judge has written, each column has its mark, and both drawings are sound."""
    one = series(*points, needed=needed)

    drawn = text(one, width=width)

    assert sum(row.count("*") for row in drawn) == (1 if len(points) == 1 else max(40, min(width, 120)) - 15)
    assert ET.fromstring(svg([one], title="x")).tag.endswith("svg")


def test_the_picture_says_what_it_shows_and_needs_nothing_from_outside() -> None:
    """The SVG has title and description, a ground of its own, the line of what is needed, and escapes names."""
    picture = svg([series(0, 1, 3), series(0, 0, 0)], title="shop/<checkout>")
    root = ET.fromstring(picture)
    namespace = "{http://www.w3.org/2000/svg}"

    assert ("shop/<checkout>", "error-rate; error-rate: evidence of harm over time") == (root[0].text, root[1].text)
    assert f"{namespace}rect" == root[2].tag
    assert 2 == len(root.findall(f"{namespace}polyline"))
    assert 2 == sum(one.text == "1 in 300" for one in root.findall(f"{namespace}text"))
    assert None is re.search(r"href|<script|<image", picture)
