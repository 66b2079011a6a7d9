"""The backends of one rule of a route: which form they are in, and how they look in another.

The user's Service may stand in a rule more than once, say with two ports. Each of its entries that carries weight is replaced
by a pair of its own, in its place and with its port and filters, and stays there without weight. An entry of the user's with
weight 0 beside others carries no traffic: it gets no pair.

In a warm form one of the three, the user's entry and its pair, has all but one in ten thousand, and another one has that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

from tidegate.engine.plan import Role, own_name
from tidegate.engine.snapshot import RouteStage, Warm

Json: TypeAlias = dict[str, Any]
Backends: TypeAlias = list[Json]

MAX_WEIGHT = 1_000_000
"""Greatest weight of a backend in Gateway API."""
MAX_BACKENDS = 16
"""Most backends of a rule in Gateway API."""
WHOLE = 100
"""Weight that a pair has together where nothing else in the rule carries weight: then weights read as percentages."""
WARM_WHOLE = 10_000
"""Of so much a warm backend has one: enough for a data plane to know it, and as good as nothing for whoever sends requests."""


class Whose(Enum):
    """Whose entry it is."""

    USER = auto()
    STABLE = auto()
    CANARY = auto()
    OTHER = auto()


@dataclass(frozen=True)
class Names:
    """The names by which entries are told apart.

    Attributes:
        namespace: of the route.
        service: name of the user's Service.
    """

    namespace: str
    service: str

    @cached_property
    def stable(self) -> str:
        """Name of the operator's Service for the stable version."""
        return own_name(self.service, Role.STABLE)

    @cached_property
    def canary(self) -> str:
        """Name of the operator's Service for the new version."""
        return own_name(self.service, Role.CANARY)

    def whose(self, entry: Mapping[str, Any]) -> Whose:
        """Return whose entry it is: a Service of another namespace, or another kind, is none of ours."""
        elsewhere = (entry.get("namespace") or self.namespace) != self.namespace
        if elsewhere or entry.get("group") or (entry.get("kind") or "Service") != "Service":
            return Whose.OTHER
        return self._known.get(entry["name"], Whose.OTHER)

    @cached_property
    def _known(self) -> dict[str, Whose]:
        return {self.service: Whose.USER, self.stable: Whose.STABLE, self.canary: Whose.CANARY}


@dataclass(frozen=True)
class Form:
    """The form of a rule.

    Attributes:
        stage: its stage.
        share: the canary's part of the weight that the user's and the operator's entries have, 0 to 1.
        proper: whether the operator would write it like this.
        warm: whose entries have one in ten thousand beside the others' rest, of which `share` speaks; None where none have.
    """

    stage: RouteStage
    share: Fraction
    proper: bool
    warm: Warm | None = None


def weight_of(entry: Mapping[str, Any]) -> int:
    """Return the weight of an entry; Gateway API takes 1 where none is given."""
    weight = entry.get("weight")
    return 1 if weight is None else int(weight)


def form_of(backends: Sequence[Json], names: Names) -> Form | None:
    """Return the form that a rule is in; None where it is no concern of ours.

    That is where it does not name the user's Service or the operator's two, or gives the user's Service no weight.
    """
    users = [entry for entry in backends if names.whose(entry) is Whose.USER]
    own = [entry for entry in backends if names.whose(entry) in {Whose.STABLE, Whose.CANARY}]
    with_user = sum(map(weight_of, users))
    if not own:
        return Form(RouteStage.USER, Fraction(0), proper=True) if with_user else None
    triples = _triples(backends, names)
    if triples is not None and (form := _warm_form(triples, with_user)) is not None:
        return form
    canaries = [entry for entry in own if names.whose(entry) is Whose.CANARY]
    with_own, with_canary = sum(map(weight_of, own)), sum(map(weight_of, canaries))
    total = with_user + with_own
    share = Fraction(with_canary, total) if total else Fraction(0)
    if with_user:
        stage, proper = RouteStage.ENTERING, with_own == 0
    else:
        stage, proper = RouteStage.SPLIT, with_own > 0
    return Form(stage, share, proper and triples is not None and _evenly_split(triples, share))


def _triples(backends: Sequence[Json], names: Names) -> list[tuple[Json, Json, Json]] | None:
    """Return each user's entry with its pair; None unless each of the operator's entries stands in a pair behind its like."""
    rest, found = list(backends), []
    for at, entry in enumerate(backends):
        if names.whose(entry) is not Whose.STABLE:
            continue
        pair = backends[at : at + 2]
        leader = backends[at - 1] if at else None
        if len(pair) < 2 or names.whose(pair[1]) is not Whose.CANARY or _signature(pair[1]) != _signature(entry):
            return None
        if leader is None or names.whose(leader) is not Whose.USER or _signature(leader) != _signature(entry):
            return None
        found.append((leader, entry, pair[1]))
        rest = [other for other in rest if other is not entry and other is not pair[1]]
    return found if all(names.whose(entry) not in {Whose.STABLE, Whose.CANARY} for entry in rest) else None


def _evenly_split(triples: Iterable[tuple[Json, Json, Json]], share: Fraction) -> bool:
    """Whether the canary has the same share in each pair."""
    return all(weight_of(canary) == share * (weight_of(stable) + weight_of(canary)) for _, stable, canary in triples)


_ROLES = (Warm.USER, Warm.STABLE, Warm.CANARY)


def _warm_form(triples: Iterable[tuple[Json, Json, Json]], with_user: int) -> Form | None:
    """Return the form of a rule in which one of three has all but one in ten thousand, and another one that, in each triple."""
    found, led = set(), 0
    for triple in triples:
        weights = [weight_of(entry) for entry in triple]
        none, tiny, _ = sorted(weights)
        if none or not tiny or tiny * WARM_WHOLE != sum(weights):
            return None
        led += weights[0]
        found.add((_ROLES[weights.index(max(weights))], _ROLES[weights.index(tiny)]))
    if len(found) != 1 or led != with_user:
        return None
    ((lead, warm),) = found
    stage = RouteStage.ENTERING if lead is Warm.USER else RouteStage.SPLIT
    return Form(stage, Fraction(lead is Warm.CANARY), proper=True, warm=warm)


def _signature(entry: Mapping[str, Any]) -> Json:
    """Return what the entries of a pair have in common with the user's entry: all but name and weight."""
    return {key: value for key, value in entry.items() if key not in {"name", "weight"}}


def led_to(route: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield namespace and name of each Service that a route of Gateway API, of whichever kind, gives weight to."""
    namespace = route["metadata"].get("namespace")
    for rule in (route.get("spec") or {}).get("rules") or ():
        for ref in rule.get("backendRefs") or ():
            if not ref.get("group") and (ref.get("kind") or "Service") == "Service" and ref.get("weight") != 0:
                yield str(ref.get("namespace") or namespace), str(ref.get("name"))


def written(original: Sequence[Json], names: Names, *, stage: RouteStage, weight: int, warm: Warm | None = None) -> Backends:
    """Return the backends of a rule in the form of a stage.

    Args:
        original: the backends as the user wrote them.
        names: the names of the Services.
        stage: the stage.
        weight: the canary's share of the user's weight in percent; matters at SPLIT only.
        warm: whose entries get one in ten thousand, where another's get all the rest; None for nobody's. Where the rule's other
            weights leave no room for that, nobody's do.
    """
    if stage is RouteStage.USER:
        return list(original)
    warm = warm if warm is not None and has_room(original, names) else None
    split = stage is not RouteStage.ENTERING
    unit = WARM_WHOLE if warm is not None else 100 // math.gcd(weight, 100)
    factor, totals = _weights(original, names, unit) if split or warm is not None else (1, iter(()))
    backends: Backends = []
    for entry in original:
        if names.whose(entry) is not Whose.USER:
            backends.append(_weighted(entry, factor))
        elif not weight_of(entry):
            backends.append(entry)
        elif not split and warm is None:
            backends += [entry, *({**entry, "name": name, "weight": 0} for name in (names.stable, names.canary))]
        else:
            parts = _parts(next(totals), stage, weight, warm)
            backends += [
                {**entry, "name": name, "weight": part}
                for name, part in zip((names.service, names.stable, names.canary), parts, strict=True)
            ]
    return backends


def _parts(total: int, stage: RouteStage, weight: int, warm: Warm | None) -> tuple[int, int, int]:
    """Return what the user's entry, stable's and the canary's get of a weight."""
    if warm is None:
        canary = total * weight // 100
        return 0, total - canary, canary
    lead = Warm.USER if stage is RouteStage.ENTERING else Warm.CANARY if weight == 100 else Warm.STABLE
    tiny = total // WARM_WHOLE
    user, stable, canary = (total - tiny if role is lead else tiny if role is warm else 0 for role in _ROLES)
    return user, stable, canary


def has_room(original: Sequence[Json], names: Names) -> bool:
    """Whether each of the user's entries can give one in ten thousand, with weights that Gateway API allows and all shares kept."""
    users, others = _own_weights(original, names)
    alone = len(users) == 1 and not any(others)
    return alone or _factor(users, WARM_WHOLE) * max([*users, *others, 1]) <= MAX_WEIGHT


def _own_weights(original: Sequence[Json], names: Names) -> tuple[list[int], list[int]]:
    """Return the weights of the user's entries that have some, and those of all others."""
    users = [weight_of(entry) for entry in original if names.whose(entry) is Whose.USER and weight_of(entry)]
    return users, [weight_of(entry) for entry in original if names.whose(entry) is not Whose.USER]


def _factor(users: Iterable[int], unit: int) -> int:
    return math.lcm(*(unit // math.gcd(own, unit) for own in users))


def _weights(original: Sequence[Json], names: Names, unit: int) -> tuple[int, Iterator[int]]:
    """Return the factor for all weights of the rule, and for each entry of the user's what its pair has together.

    The factor is the smallest that lets each pair be split exactly into whole parts of a unit, so that every other backend keeps
    its share. Where it would take a weight beyond what Gateway API allows, the greatest factor that does not is taken and the
    pair's sum is rounded to the next number that can be split: the canary's share stays exact, the others' move by less than
    one percent of the user's share.
    """
    users, others = _own_weights(original, names)
    if len(users) == 1 and not any(others):
        return 1, iter([max(unit, WHOLE)])
    factor = _factor(users, unit)
    most = max([*users, *others, 1])
    if factor * most <= MAX_WEIGHT:
        return factor, iter([own * factor for own in users])
    factor = MAX_WEIGHT // most
    return factor, iter([max(unit, round(Fraction(own * factor, unit)) * unit) for own in users])


def _weighted(entry: Json, factor: int) -> Json:
    return entry if factor == 1 else {**entry, "weight": weight_of(entry) * factor}


def original_of(backends: Sequence[Json], names: Names, recalled: Callable[[], Sequence[Backends]]) -> Backends:
    """Return the backends of a rule as the user wrote them.

    Where the user's entries carry all their weight, they are there to be read. Elsewhere it is the known form that, brought to the
    rule's stage, is exactly what is there. If somebody has edited the rule since, what they wrote is kept: the pairs become
    the user's entries again, and all weights are taken back by the factor by which they were raised. Where nothing is known,
    the user's entries get the weight that their pairs have together.

    Say that the user wrote `web 3, legacy 1`, where `web` is their Service. Split at 10%, each weight is raised tenfold, so that
    the pair can be parted exactly. What is there, and what comes of it with that reading at hand:

        web 0, web-stable 27, web-canary 3, legacy 10           web 3, legacy 1             as it was: nobody edited it
        web 0, web-stable 27, web-canary 3, legacy 20           web 3, legacy 2             the edit, ten times smaller
        web 0, web-stable 27, web-canary 3, legacy 10, new 10   web 3, legacy 1, new 1      a new backend likewise
        web 0, web-stable 27, web-canary 3, legacy 5            web 30, legacy 5            half a unit: the shares count
        web 0, web-stable 27, web-canary 7, legacy 10           web 34, legacy 10           a pair's sum: likewise

    With no reading at hand the first gives `web 30, legacy 10`: the same shares in another scale.

    Args:
        backends: what is there.
        names: the names of the Services.
        recalled: earlier readings of this rule and of others of its route, the likeliest first; called where they are needed.
    """
    form = form_of(backends, names)
    moved = form is not None and (form.stage is RouteStage.SPLIT or form.warm is not None)
    if form is None or not (moved or _carried_by_a_pair(backends, names)):
        return [entry for entry in backends if names.whose(entry) not in {Whose.STABLE, Whose.CANARY}]
    known, percent = recalled(), form.share * 100
    if percent.denominator == 1:
        for candidate in known:
            if written(candidate, names, stage=form.stage, weight=percent.numerator, warm=form.warm) == list(backends):
                return candidate
    whole, users = joined(backends, names)
    like = [candidate for candidate in known if _users_like(candidate, users, names)]
    like.sort(key=lambda candidate: _others(candidate, names) != _others(whole, names))
    if like:
        return _scaled_back(whole, users, like[0], names)
    alone = not any(weight_of(entry) for entry in whole if names.whose(entry) is not Whose.USER)
    return [{**entry, "weight": 1} if alone and [entry] == users else entry for entry in whole]


def _carried_by_a_pair(backends: Sequence[Json], names: Names) -> bool:
    """Whether an entry of the user's has no weight because a pair has it, although another one of theirs has some."""
    return any(
        names.whose(leader) is Whose.USER and not weight_of(leader) and names.whose(entry) is Whose.STABLE
        for leader, entry in pairwise(backends)
    )


def joined(backends: Sequence[Json], names: Names) -> tuple[Backends, Backends]:
    """Return the backends with each pair put back into one entry of the user's, with its weight; and those entries alone.

    Of the user's other entries those count among them that have weight.
    """
    whole: Backends = []
    paired: set[int] = set()
    last: Whose | None = None
    for entry in backends:
        whose = names.whose(entry)
        if whose in {Whose.OTHER, Whose.USER}:
            whole.append(entry)
        elif (whose is Whose.CANARY and last is Whose.STABLE) or last is Whose.USER:
            # The entry that leads a pair is the user's own: what they have made of it counts.
            whole[-1] = {**whole[-1], "weight": weight_of(whole[-1]) + weight_of(entry)}
        else:
            whole.append({**entry, "name": names.service, "weight": weight_of(entry)})
        if whose in {Whose.STABLE, Whose.CANARY}:
            paired.add(len(whole) - 1)
        last = whose
    users = {at for at, entry in enumerate(whole) if names.whose(entry) is Whose.USER and (at in paired or weight_of(entry))}
    return whole, [entry for at, entry in enumerate(whole) if at in users]


def _users_like(candidate: Backends, users: Backends, names: Names) -> bool:
    """Whether the user's entries that have weight, or pairs, are the same in both but for their weights."""
    return [_signature(entry) for entry in _weighty(candidate, names)] == [_signature(entry) for entry in users]


def _weighty(backends: Backends, names: Names) -> Backends:
    return [entry for entry in backends if names.whose(entry) is Whose.USER and weight_of(entry)]


def _others(backends: Backends, names: Names) -> list[Json]:
    """Return what a rule's other backends are, without their weights."""
    return [
        {key: value for key, value in entry.items() if key != "weight"} for entry in backends if names.whose(entry) is Whose.OTHER
    ]


def _scaled_back(whole: Backends, users: Backends, known: Backends, names: Names) -> Backends:
    """Return what somebody wrote into a split rule, in the scale of what is known of it.

    The factor is how many times the user's weights are what they were: `web 30` where `web 3` is known gives 10. Each entry of the
    user's is the known one again. Each other one is divided, so `legacy 20` becomes `legacy 2`; one that comes out as it is known
    is the known one to the letter, without a weight where the user wrote none. Where one cannot be divided in whole numbers
    (`legacy 5`), nothing is scaled: the shares are right as they are.

    Args:
        whole: what is there, each pair put back into one entry (`joined`).
        users: those entries of `whole` that are the user's and have weight or pairs.
        known: an earlier reading, whose entries of the user's are these but for their weights.
        names: the names of the Services.
    """
    before_them, rest = iter(_weighty(known, names)), list(users)
    totals = sum(map(weight_of, users))
    factor = Fraction(totals, sum(map(weight_of, _weighty(known, names)))) or Fraction(1)
    if any((weight_of(entry) / factor).denominator > 1 for entry in whole if names.whose(entry) is Whose.OTHER):
        return whole
    before = [entry for entry in known if names.whose(entry) is Whose.OTHER]
    result: Backends = []
    for entry in whole:
        if rest and entry is rest[0]:
            result.append(next(before_them))
            rest.pop(0)
            continue
        if names.whose(entry) is Whose.USER:
            result.append(entry)
            continue
        now = {**entry, "weight": int(weight_of(entry) / factor)}
        same = [one for one in before if {**one, "weight": weight_of(one)} == now]
        result.append(same[0] if same else now)
    return result
