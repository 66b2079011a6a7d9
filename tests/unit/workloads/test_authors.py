"""Whose change it is that is to run: by the API server's note, and where a tool makes it, by what the tool says."""

from __future__ import annotations

import pytest

from tidegate.governance.votes import Author
from tidegate.workloads.authors import authors_of

TOOL = "system:serviceaccount:argocd:argocd-application-controller"


def marks(by: str = "", author: str = "") -> dict[str, str]:
    """Return annotations."""
    noted = {"tidegate.dev/changed-by": by, "tidegate.dev/author": author}
    return {"other": "ann"} | {name: value for name, value in noted.items() if value}


@pytest.mark.parametrize(
    ("found", "authors"),
    [
        (marks(), []),
        (marks("ann"), [Author("ann")]),
        (marks("ann", "bob"), [Author("ann")]),
        (marks(TOOL), [Author(TOOL)]),
        (marks(TOOL, "ann"), [Author(TOOL), Author("ann", claimed=True)]),
        (marks("", "ann"), [Author("ann", claimed=True)]),
        (marks(TOOL, "ann, bob ,,"), [Author(TOOL), Author("ann", claimed=True), Author("bob", claimed=True)]),
    ],
)
def test_author_of_a_deployment(found: dict[str, str], authors: list[Author]):
    """A person whom the API server has noted is the author, whatever is claimed; a claim counts beside a tool, or alone."""
    assert tuple(authors) == authors_of(found, marks("dee"), overlaid=False)


def test_author_of_images_in_a_release():
    """Where the Release has images of its own, who has written these is an author beside who has changed the Deployment."""
    assert (Author("ann"), Author("bob")) == authors_of(marks("ann"), marks("bob"), overlaid=True)
    assert (Author("ann"),) == authors_of(marks("ann"), marks("ann"), overlaid=True)


def test_what_is_claimed_is_bounded():
    """However much somebody writes, a few names are read of it."""
    assert 8 == len(authors_of(marks("", ",".join(f"a{number}" for number in range(50_000))), {}, overlaid=False))
