"""Other clusters, as the operator's configuration file gives them: how each is reached, and who may look at what there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tidegate.api.gate import Name


def _absolute(path: str) -> str:
    if not Path(path).is_absolute():
        msg = "must be the absolute path of a file"
        raise ValueError(msg)
    return path


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )


Namespaces = Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]


class Grant(_Part):
    """Which namespaces here may look at which there.

    Attributes:
        here: namespaces of this cluster whose Releases may name Releases of the others, `from` in the file.
        there: namespaces of the other cluster, `to` in the file.
    """

    here: Annotated[Namespaces, Field(alias="from", strict=False)]
    there: Annotated[Namespaces, Field(alias="to", strict=False)]


class ClusterConfig(_Part):
    """Another cluster, whose Releases may prove versions for those of this one.

    Attributes:
        kubeconfig: file with its address and with credentials to list and watch Releases there; it may come and change later.
        allow: which namespaces may look at which. The other cluster's rights are not known here, so all else is closed.
    """

    kubeconfig: Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
    allow: Annotated[tuple[Grant, ...], Field(min_length=1, max_length=64, strict=False)]

    def allows(self, here: str, there: str) -> bool:
        """Whether Releases of a namespace here may look at those of a namespace there."""
        return any(here in grant.here and there in grant.there for grant in self.allow)

    @property
    def seen(self) -> frozenset[str]:
        """Return the namespaces there that anybody may look at."""
        return frozenset(name for grant in self.allow for name in grant.there)
