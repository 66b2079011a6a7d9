"""The pages and what stands in them: prose, code blocks, tables, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
BY_HAND = [page for page in PAGES if page.name != "reference.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in BY_HAND:
        for found in FENCE.finditer(page.read_text(encoding="utf-8")):
            if found[1] == language:
                yield page.relative_to(ROOT).as_posix(), found[2]


def documents() -> Iterator[tuple[str, Any]]:
    """Every YAML document of every page, with the page's name."""
    for page, text in blocks("yaml"):
        for document in yaml.safe_load_all(text):
            yield page, document


def tidegate_objects() -> list[tuple[str, dict[str, Any]]]:
    found = [(page, one) for page, one in documents() if isinstance(one, dict)]
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        found += [(f"examples/{path.name}", one) for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    return [(page, one) for page, one in found if str(one.get("apiVersion", "")).startswith("tidegate.dev/")]


def slug(heading: str) -> str:
    """The anchor that a heading gets: lower case, without punctuation, dashes for blanks."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in HEADING.findall(prose(page))}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in LINK.findall(prose(page)):
            if not re.match(r"[a-z]+:", target):
                yield page, target
