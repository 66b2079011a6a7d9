"""The decisions in docs/adr as their heads tell them, and the table of them that the index has to show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from unit.docs.pages import DOCS

TITLE = re.compile(r"^# (\d{4}): (.+)$")
FIELD = re.compile(r"^- ([A-Z][a-z ]+): (.+)$")
PAGE = re.compile(r"\[(\d{4})\]\((\1-[a-z0-9-]+\.md)\)")
BACK = {"Superseded by": "Supersedes", "Supersedes": "Superseded by", "Amended by": "Amends", "Amends": "Amended by"}


@dataclass(frozen=True)
class Decision:
    """One page: what stands in its title and in the lines of its head."""

    page: str
    number: str
    title: str
    head: dict[str, str]

    def others(self, relation: str) -> list[str]:
        """Give the numbers of the pages to which it has this relation."""
        return [number for number, _ in PAGE.findall(self.head.get(relation, ""))]

    @property
    def row(self) -> str:
        """Its line in the index."""
        relations = [f"{name} {self.head[name]}" for name in BACK if name in self.head]
        said = relations if self.others("Superseded by") else [self.head["Status"], *relations]
        status = "; ".join([said[0], *(one[0].lower() + one[1:] for one in said[1:])])
        return f"| [{self.number}]({self.page}) | {self.title} | {self.head['Date']} | {status} |"


def read(path: Path) -> Decision:
    """Read the title and the head of a page; the head is the list right below the title."""
    title, blank, *rest = path.read_text(encoding="utf-8").splitlines()
    found = TITLE.match(title)
    assert found is not None, f"{path.name} begins with its number and title"
    assert blank == ""
    head = rest[: rest.index("")]
    fields = [FIELD.match(line) for line in head]
    assert all(fields), f"the head of {path.name}: {head}"
    return Decision(path.name, found[1], found[2], {one[1]: one[2] for one in fields if one})


def decisions() -> list[Decision]:
    """Read all pages, in their order."""
    return [read(path) for path in sorted((DOCS / "adr").glob("[0-9]*.md"))]
