"""Who has changed what is to run, by annotations on the workload and the Release: their votes for it do not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tidegate.api.names import ANNOTATION_AUTHOR, ANNOTATION_CHANGED_BY
from tidegate.governance.votes import Author

_TOOL = "system:serviceaccount:"
"""How names of accounts begin that are no people's."""
_MOST = 8
"""People whom a tool may name."""
_LONGEST = 1024
"""Characters of an annotation that are read."""


def authors_of(workload: Mapping[str, str], release: Mapping[str, str], *, overlaid: bool) -> tuple[Author, ...]:
    """Return who has changed the wanted template.

    Args:
        workload: annotations of the workload.
        release: annotations of the Release.
        overlaid: whether the Release has images of its own: then who wrote these is an author as well.
    """
    found = [*_authors(workload), *(_authors(release) if overlaid else ())]
    return tuple(dict.fromkeys(found))


def _authors(annotations: Mapping[str, str]) -> Iterator[Author]:
    """Yield the account that the API server has noted; where that is a tool, or nobody is noted, whom the tool names as well."""
    stamped = annotations.get(ANNOTATION_CHANGED_BY) or ""
    if stamped:
        yield Author(stamped)
    if not stamped or stamped.startswith(_TOOL):
        claimed = (annotations.get(ANNOTATION_AUTHOR) or "")[:_LONGEST].split(",")
        yield from [Author(name.strip(), claimed=True) for name in claimed if name.strip()][:_MOST]
