"""The field `checks` of a policy: what has to have been checked of a version, outside of Tidegate, before it goes on."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tidegate.api.approvals import LONGEST_CONDITION, weight_of
from tidegate.api.base import Duration, K8s, Model, Rule
from tidegate.api.decision import NO_SUCH_ROLE
from tidegate.api.gate import AT_LEAST_1S, Name

REVIEW = "review"
"""Name of the check whose attestation is the review of a hotfix: nothing waits for it."""
PROMOTED, ROLLED_BACK = "Promoted", "RolledBack"
AFTER = (PROMOTED, ROLLED_BACK)
"""Points after a rollout, by how it has ended."""
POINT = r"^(Start|(100|[1-9][0-9]?)%|Promoted|RolledBack)$"
"""Pattern of a point."""
NEVER = 101
"""Weight of a point that no weight comes to, in percent."""
DEFAULT_TIMEOUT, DEFAULT_ANSWER = timedelta(minutes=10), timedelta(seconds=10)
"""How long a Job, and an answer, may take where the check does not say."""
CHECK_RULES = (
    Rule(
        "[has(self.attested), has(self.cronJob), has(self.http)].exists_one(given, given)",
        "give exactly one of attested, cronJob and http",
    ),
    Rule(
        "!has(self.attested) || !has(self.timeout) && !has(self.retries)", "timeout and retries are for checks with cronJob or http"
    ),
    Rule(
        "!has(self.http) || !has(self.timeout) || duration(self.timeout) <= duration('1m')",
        "an answer may take at most 1m",
        ".timeout",
    ),
    Rule("has(self.attested) || !has(self.expires)", "expires is for attested checks", ".expires"),
    Rule(
        f"!(self.at in ['{PROMOTED}', '{ROLLED_BACK}']) || !has(self.attested)",
        "nothing waits for an attestation after a rollout: give cronJob or http, or another point",
        ".at",
    ),
    Rule(
        f"!(self.at in ['{PROMOTED}', '{ROLLED_BACK}']) || !has(self.onFailure) || self.onFailure == 'Warn'",
        "a check after a rollout only warns",
        ".onFailure",
    ),
    Rule(f"self.name != '{REVIEW}'", f"{REVIEW} is reserved for the review of hotfixes: give another name", ".name"),
    Rule(
        f"!has(self.attested) || !(self.attested.role in ['status', '{NO_SUCH_ROLE}'])",
        f"status and {NO_SUCH_ROLE} are reserved: give another name",
        ".attested.role",
    ),
)


class Attested(Model):
    """By whom a check is attested."""

    role: Annotated[
        Name,
        Field(
            description=(
                "Role that attests it, by a ReleaseDecision with action Attest: it takes the verb attest on the subresource "
                "releases/<role> of that Release, by name. A ServiceAccount, as of CI, may have it."
            )
        ),
    ]


class Method(StrEnum):
    """How a hook is called."""

    GET = "GET"
    POST = "POST"


class JSONValue(Model):
    """A value of the answer, and what it has to be."""

    path: Annotated[
        str,
        Field(
            max_length=128,
            pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$",
            description="Names of fields and numbers of items, from 0, with dots between: summary.deployable or results.0.state.",
        ),
    ]
    equals: Annotated[
        str, Field(max_length=128, description="What stands there, as text: a word, a number as JSON has it, true, false or null.")
    ]


class Expect(Model):
    """What an answer has to be."""

    status: Annotated[
        tuple[Annotated[int, Field(ge=200, le=599)], ...] | None,
        Field(min_length=1, max_length=8, description="Its HTTP status is one of these. Default: any from 200 to 299."),
    ] = None
    json_value: Annotated[
        JSONValue | None,
        Field(alias="json", description="A value in its body, which is then JSON of at most 64 KiB. Default: none."),
    ] = None


class Http(Model):
    """A request that makes a check."""

    hook: Annotated[
        Name,
        Field(
            description=(
                "Name of a hook in the operator's configuration (hooks), which has its address, its headers, and the namespaces "
                "that may call it."
            )
        ),
    ]
    path: Annotated[
        str,
        Field(
            max_length=200,
            pattern=r"^/[A-Za-z0-9._~!$&'()*+,;=:@/-]*$",
            description="Path behind the hook's address. Default: /.",
        ),
        K8s(rules=(Rule("!self.contains('..') && !self.startsWith('//')", "must not contain .. or begin with //"),)),
    ] = "/"
    method: Annotated[
        Method,
        Field(
            description=(
                "POST sends JSON with release, namespace, version, revision, stableVersion, environment, phase and check; GET has "
                "them as query parameters. Default: POST."
            )
        ),
    ] = Method.POST
    expect: Annotated[Expect | None, Field(description="What the answer has to be. Default: any status from 200 to 299.")] = None

    @property
    def words(self) -> str:
        """What is called, for people."""
        return f"{self.method} {self.hook}{self.path}"


class OnFailure(StrEnum):
    """What a check does that has failed, once a version has come to its point."""

    REJECT = "Reject"
    PAUSE = "Pause"
    WARN = "Warn"


class Check(Model):
    """A check, and the point before which it has to have passed."""

    name: Annotated[Name, Field(description="Name of the check, as attestations give it (spec.check), e.g. security-scan.")]
    at: Annotated[
        str,
        Field(
            max_length=10,
            pattern=POINT,
            description=(
                "Before what it has to have passed: Start, before anything of the new version is there, or a weight such as 50%, "
                "before the first step with that weight or more. 100% is before all of the traffic. With cronJob also after a "
                "rollout, by how it ended: Promoted or RolledBack; a failure is then reported, and nothing waits for it."
            ),
        ),
    ]
    attested: Annotated[
        Attested | None,
        Field(
            description=(
                "By which role it is attested. The latest attestation of the check for exactly this content counts. Default: none; "
                "then cronJob or http makes the check."
            )
        ),
    ] = None
    cron_job: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=52,
            pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
            description=(
                "CronJob of the Release's namespace: a Job is made from it to check the version, as kubectl create job --from "
                "does; a suspended one will do. The CronJob has to name the Release in its annotation tidegate.dev/run-for. "
                "Default: none; then it is attested."
            ),
        ),
    ] = None
    http: Annotated[
        Http | None,
        Field(description="A request of the operator that checks the version by its answer. Default: none."),
    ] = None
    timeout: Annotated[
        Duration | None,
        Field(
            description=(
                "How long a Job may take, at least 1s; then it is stopped, and has failed. With http: how long the answer may "
                "take, at most 1m. Default: 10m; with http 10s."
            )
        ),
        AT_LEAST_1S,
    ] = None
    retries: Annotated[
        int | None,
        Field(
            ge=0,
            le=5,
            description="How many further Jobs, or requests, are made after a failure, 0 to 5. Requests come 5s later. Default: 0.",
        ),
    ] = None
    on_failure: Annotated[
        OnFailure | None,
        Field(
            description=(
                "What it does if it failed, when the version has come to its point. Reject: the version is rejected, and rolled "
                "back. Pause: the version waits for a later attestation that it has passed; with cronJob for the request retry. "
                "Warn: the version goes on, and a Warning Event reports it. Default: Pause; after a rollout Warn."
            )
        ),
    ] = None
    expires: Annotated[
        Duration | None,
        Field(
            description=(
                "How long an attestation counts, from when it was made, at least 1s. What has started or got its weight by then "
                "keeps it. Default: none; then it counts until its own expires, if it has one."
            )
        ),
        AT_LEAST_1S,
    ] = None
    when: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=LONGEST_CONDITION,
            description=(
                "Condition (CEL) on release.type, environment, labels, versions.stable and versions.candidate: only if it is true, "
                "the check is needed. What cannot be evaluated lets nothing through. Default: none; it is always needed."
            ),
        ),
    ] = None

    @property
    def weight(self) -> int:
        """The weight before which it is asked for, in percent; 0 for the start, 101 for what comes after a rollout."""
        return NEVER if self.at in AFTER else weight_of(self.at)

    @property
    def failure(self) -> OnFailure:
        """What it does if it failed."""
        return self.on_failure or (OnFailure.WARN if self.at in AFTER else OnFailure.PAUSE)

    @property
    def longest(self) -> timedelta:
        """How long a Job of it may take."""
        return self.timeout if self.timeout is not None else DEFAULT_ANSWER if self.http is not None else DEFAULT_TIMEOUT

    @property
    def called(self) -> str | None:
        """What is called, for people; None where it is no request."""
        return self.http.words if self.http is not None else None
