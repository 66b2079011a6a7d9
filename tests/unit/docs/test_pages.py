"""The pages hang together: links, tables, style, the picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from unit.docs.pages import BY_HAND, DOCS, PAGES, ROOT, anchors, links, prose, text_of

MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users|var/folders|opt/\w+)/\S*")
UNWANTED = re.compile(r"\b(simply|easily|easy|just|seamless\w*|powerful|blazing\w*|TODO|FIXME)\b|\u2014", re.IGNORECASE)


@pytest.mark.parametrize(("page", "target"), list(links()), ids=lambda value: value.name if isinstance(value, Path) else value)
def test_links_lead_somewhere(page: Path, target: str) -> None:
    """A link between pages names a file that exists, and a heading of it."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page

    assert file.exists()
    assert file.is_relative_to(ROOT)
    if anchor:
        assert anchor in anchors(file)


def test_every_page_is_reached_from_the_readme() -> None:
    """Following links from the README leads to every page."""
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        targets = {(one.parent / target.partition("#")[0]).resolve() for one, target in links() if one == page}
        ahead += [target for target in targets if target.suffix == ".md" and target not in reached]

    assert sorted(page.name for page in set(PAGES) - reached) == []


@pytest.mark.parametrize("page", BY_HAND, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_keep_to_the_style(page: Path) -> None:
    """No word that belittles the reader's trouble, no paths of the machine that they were written on."""
    text = page.read_text(encoding="utf-8")

    assert [found[0] for found in UNWANTED.finditer(text)] == []
    assert MACHINE_PATH.findall(text) == []


def test_tables_are_whole() -> None:
    """Each row of a table has as many cells as its head."""
    broken = []
    for page in BY_HAND:
        width = 0
        for number, line in enumerate(prose(page).splitlines(), 1):
            cells = line.replace("\\|", "").count("|") if line.startswith("|") else 0
            if cells and width and cells != width:
                broken.append((page.name, number, line[:60]))
            width = cells and (width or cells)

    assert broken == []


def test_the_picture_is_sound_and_says_what_it_shows() -> None:
    """The picture is well-formed, needs nothing from outside, has a text for those who cannot see it, and a ground of its own."""
    root = ET.fromstring((DOCS / "images" / "rollout.svg").read_text(encoding="utf-8"))
    namespace = "{http://www.w3.org/2000/svg}"
    children = [child.tag for child in root]

    assert children[:2] == [f"{namespace}title", f"{namespace}desc"]
    assert root.find(f"{namespace}rect") is not None
    assert not [each for each in root.iter() if each.tag.endswith(("script", "image")) or "href" in "".join(each.attrib)]


def test_license_is_apache() -> None:
    """The licence that the package names is the one that lies beside it."""
    text = text_of("LICENSE")

    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert 'license = "Apache-2.0"' in text_of("pyproject.toml")
