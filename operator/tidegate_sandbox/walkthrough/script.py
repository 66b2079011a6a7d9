"""Who types what, and what must have become of it: the walkthrough without the cluster that it is played on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TEST, LIVE = "shop-test", "shop-live"
"""The two namespaces."""
DEVELOPER, QA, MANAGER = "developer", "qa", "release-manager"
"""The three people, by the names that the API server knows them by."""


@dataclass(frozen=True)
class Act:
    """One command, and what it leads to.

    Attributes:
        who: types it.
        command: what is typed.
        why: for the reader, before it.
        status: 0 where it is to succeed.
        says: what the output has to contain.
        then: what is waited for: namespace, Release and fields of its status; a field `waits` means exactly these barriers.
        told: what to say once that is so.
    """

    who: str
    command: str
    why: str
    status: int = 0
    says: str = ""
    then: tuple[str, str, dict[str, Any]] | None = None
    told: str = ""


def _image(namespace: str, name: str) -> str:
    return f"kubectl -n {namespace} set image deployment/{name} app=registry.example/checkout:v2"


ACTS: tuple[Act, ...] = (
    Act(
        DEVELOPER,
        _image(TEST, "dev"),
        "A developer ships v2 to dev, where nobody has to say yes.",
        then=(TEST, "dev", {"phase": "Idle", "version": "v2"}),
        told="dev runs v2",
    ),
    Act(
        DEVELOPER,
        _image(TEST, "staging"),
        "Staging takes what has run in dev for five seconds.",
        then=(TEST, "staging", {"phase": "Idle", "version": "v2"}),
        told="staging runs v2",
    ),
    Act(
        DEVELOPER,
        _image(LIVE, "checkout"),
        "Production takes what has run in staging for five seconds, and asks somebody of qa.",
        then=(LIVE, "checkout", {"phase": "Waiting", "waits": ["Approval"]}),
        told="nothing of v2 is there yet",
    ),
    Act(
        DEVELOPER,
        f"kubectl tidegate approve checkout --role qa -n {LIVE}",
        "The developer has no vote in that role.",
        status=2,
        says="may not approve Release checkout as qa",
    ),
    Act(QA, f"kubectl tidegate waits -n {LIVE}", "Somebody of qa looks what is waited for ...", says="Approval"),
    Act(
        QA,
        f"kubectl tidegate approve checkout --role qa -n {LIVE}",
        "... and approves exactly this content.",
        then=(LIVE, "checkout", {"phase": "Progressing", "weight": 10}),
        told="v2 has 10%",
    ),
    Act(
        MANAGER,
        f'kubectl tidegate freeze incident --reason "payments are down" --in {LIVE}',
        "Something else breaks: the release manager freezes production, and the weight stays.",
        says="are frozen",
        then=(LIVE, "checkout", {"weight": 10, "waits": ["Approval", "Freeze"]}),
        told="v2 stays at 10%",
    ),
    Act(
        MANAGER,
        "kubectl tidegate thaw incident",
        "It is mended.",
        says="has ended",
        then=(LIVE, "checkout", {"weight": 10, "waits": ["Approval"]}),
        told="what is left is the release manager's own word",
    ),
    Act(
        MANAGER,
        f"kubectl tidegate approve checkout --role release-manager -n {LIVE}",
        "All of the traffic takes the release manager's vote.",
        then=(LIVE, "checkout", {"phase": "Idle", "version": "v2"}),
        told="production runs v2",
    ),
)
