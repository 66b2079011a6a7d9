"""The chain of a Release's records: how each is sealed, and what is wrong with a chain that somebody has had their hands on.

Each record has the hash of its own content and of the record before, so none can be changed, left out, put in or moved without a
trace; only of the last ones nobody can tell from the chain itself that they were taken away: the Release's status, the operator's
log and a metric have its head.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from tidegate.governance.canonical import digest

_TAG = 8
"""Hexadecimal digits that tell the records of a Release from those of an earlier one of its name."""
_ID = re.compile(r"rel_[0-9]{8}_[0-9]{4}(?:_[0-9]{1,9})?")
Spec = Mapping[str, Any]


def sealed(spec: Spec) -> dict[str, Any]:
    """Return the spec of a record with the hash of its content.

    Args:
        spec: the spec in its wire form; what is empty in it is left out.

    Raises:
        ValueError: it has a number that would not come back as it went.
    """
    content = {name: value for name, value in _slim(spec).items() if name != "hash"}
    return {**content, "hash": digest(content)}


def hash_of(spec: Spec) -> str:
    """Return the hash that the content of a record has now; empty where it has none, as somebody has put a fraction into it."""
    try:
        return digest({name: value for name, value in spec.items() if name != "hash"})
    except ValueError:
        return ""


def name_of(release: str, uid: str, number: int) -> str:
    """Return what the record of this number in the chain of a Release is called: whoever writes it again meets it."""
    return f"{release}-{number:05d}-{hashlib.sha256(uid.encode()).hexdigest()[:_TAG]}"


def next_id(stamp: str, last: str) -> str:
    """Return the id of a record.

    Args:
        stamp: when its rollout started, as YYYYMMDD_hhmm.
        last: id of the record before; empty for the first.

    Returns:
        rel_ and the stamp. Where that would not be greater than the last one, the last one with the next number behind.
    """
    fresh = f"rel_{stamp}"
    if not _ID.fullmatch(last):
        return fresh
    if fresh > last[: len(fresh)]:
        return fresh
    number = last[len(fresh) + 1 :]
    return f"{last[: len(fresh)]}_{int(number) + 1 if number.isdecimal() else 2}"


class Fault(StrEnum):
    """What can be wrong with a chain."""

    CHANGED = "changed"
    MISSING = "missing"
    REORDERED = "reordered"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a chain.

    Attributes:
        fault: what.
        record: name of the record that it is about.
        words: what was found, for people.
    """

    fault: Fault
    record: str
    words: str


@dataclass(frozen=True)
class Head:
    """The last record of a chain as something else than the chain has it.

    Attributes:
        number: its number.
        hash: hash of the latest one; empty where only the number is known.
        source: who says so, for people.
        latest: number of the latest one that there may be: those in between are being written, and may be there or not. 0 where
            none is.
    """

    number: int
    hash: str
    source: str
    latest: int = 0

    @property
    def most(self) -> int:
        """Number of the latest one that there may be."""
        return max(self.number, self.latest)


@dataclass(frozen=True)
class _Record:
    name: str
    number: int
    spec: Spec


def chains(objects: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], list[Mapping[str, Any]]]:
    """Return records by the chain that they say they are of: namespace, name and uid of the Release."""
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for one in objects:
        spec = one.get("spec")
        told = spec if isinstance(spec, Mapping) else {}
        key = tuple(str(told.get(name, "")) for name in ("namespace", "release", "releaseUID"))
        found.setdefault((key[0], key[1], key[2]), []).append(one)
    return found


def verify(objects: Sequence[Mapping[str, Any]], head: Head | None = None) -> list[Finding]:
    """Return what is wrong with the records of one chain, in its order; nothing where they are as they were written.

    Args:
        objects: the ReleaseRecords of one Release, in any order.
        head: the last record, as the Release's status or anybody else has it; None where that is not known.
    """
    found: list[Finding] = []
    records: list[_Record] = []
    for one in objects:
        record, finding = _read(one)
        found += [finding] if finding is not None else []
        if record is not None:
            records.append(record)
    records.sort(key=lambda one: (one.number, one.name))
    doubled = [number for number, count in Counter(one.number for one in records).items() if count > 1]
    found += [
        Finding(Fault.FOREIGN, one.name, f"there are two with number {one.number}") for one in records if one.number in doubled
    ]
    if not records:
        return found + _tail([], head, "")
    found += _links(records)
    found += _beginning(records)
    last = records[-1]
    return found + _tail(records, head, _called(last, last.number + 1))


def against(objects: Sequence[Mapping[str, Any]], exported: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Return in what the records of one chain differ from copies of them that were exported before, as in the audit stream.

    What was deleted from the end, or all of it, leaves no trace in the chain itself, but it was exported.

    Args:
        objects: the ReleaseRecords of one Release, in any order.
        exported: copies of them, in any order; one may be there twice.
    """
    found: list[Finding] = []
    copies: dict[int, _Record] = {}
    for one in exported:
        record, finding = _read(one)
        if finding is not None:
            found.append(Finding(finding.fault, finding.record, f"as it was exported, {finding.words}"))
        elif record is not None:
            first = copies.setdefault(record.number, record)
            if first.spec.get("hash") != record.spec.get("hash"):
                found.append(Finding(Fault.FOREIGN, record.name, "it was exported twice, with two hashes"))
    there = {record.number: record for one in objects if (record := _read(one)[0]) is not None}
    kept_from = _kept_from([*copies.values(), *there.values()])
    gone = [number for number in sorted(copies) if number not in there and number >= kept_from]
    if gone:
        numbers = _numbers(range(gone[0], gone[-1] + 1)) if len(gone) == gone[-1] - gone[0] + 1 else f"{len(gone)} are missing"
        found.append(
            Finding(Fault.MISSING, copies[gone[0]].name, f"{numbers}; {'it was' if len(gone) == 1 else 'they were'} exported")
        )
    return found + [
        Finding(Fault.CHANGED, copy.name, f"it was exported with the hash {copy.spec.get('hash')}, and has {now or 'none'}")
        for number, copy in sorted(copies.items())
        if number in there and (now := hash_of(there[number].spec)) != copy.spec.get("hash")
    ]


def _kept_from(records: Sequence[_Record]) -> int:
    """Return the number from which on a chain is kept, by its last record."""
    last = max(records, key=lambda one: one.number, default=None)
    checkpoint = last.spec.get("checkpoint") if last is not None else None
    return checkpoint if last is not None and isinstance(checkpoint, int) and 1 <= checkpoint <= last.number else 1


def _read(obj: Mapping[str, Any]) -> tuple[_Record | None, Finding | None]:
    """Return a record as far as it can be placed, and what is wrong with it by itself."""
    metadata = obj.get("metadata") or {}
    spec, name = obj.get("spec"), str(metadata.get("name", ""))
    number = spec.get("number") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(number, int) or isinstance(number, bool):
        return None, Finding(Fault.CHANGED, name, "it has no spec.number")
    record = _Record(name, number, spec)
    now = hash_of(spec)
    if spec.get("hash") != now:
        written = str(spec.get("hash", "no hash"))
        return record, Finding(Fault.CHANGED, name, f"its content has the hash {now or 'none'}, and it was written with {written}")
    wanted = name_of(str(spec.get("release")), str(spec.get("releaseUID")), number)
    if name != wanted or metadata.get("namespace", spec.get("namespace")) != spec.get("namespace"):
        words = f"it is the record {wanted} of namespace {spec.get('namespace')}, under another name or in another place"
        return record, Finding(Fault.REORDERED, name, words)
    return record, None


def _links(records: Sequence[_Record]) -> list[Finding]:
    """Return where a record does not follow the one before."""
    found: list[Finding] = []
    for before, after in pairwise(records):
        if after.number > before.number + 1:
            gap = range(before.number + 1, after.number)
            found.append(Finding(Fault.MISSING, _called(after, gap[0]), f"{_numbers(gap)} between {before.name} and {after.name}"))
        elif after.number == before.number + 1 and after.spec.get("previous") != before.spec.get("hash"):
            words = f"it follows a record with the hash {after.spec.get('previous', 'none')}, and {before.name} has "
            found.append(Finding(Fault.FOREIGN, after.name, words + str(before.spec.get("hash", "none"))))
    return found


def _beginning(records: Sequence[_Record]) -> list[Finding]:
    """Return whether the oldest records are gone that the last one says are kept."""
    first, last = records[0], records[-1]
    checkpoint = last.spec.get("checkpoint")
    kept_from = checkpoint if isinstance(checkpoint, int) and 1 <= checkpoint <= last.number else 1
    if first.number > kept_from:
        words = f"{_numbers(range(kept_from, first.number))}: by {last.name} the chain is kept from number {kept_from} on"
        return [Finding(Fault.MISSING, _called(last, kept_from), words)]
    if first.number == 1 and first.spec.get("previous"):
        return [Finding(Fault.FOREIGN, first.name, "it is the first one, and has the hash of one before")]
    return []


def _tail(records: Sequence[_Record], head: Head | None, following: str) -> list[Finding]:
    """Return whether the end of a chain is as something else has it."""
    if head is None or head.most == 0:
        return []
    last = records[-1].number if records else 0
    if last < head.number:
        words = f"{_numbers(range(last + 1, head.number + 1))}: {head.source} has number {head.number} as the last"
        return [Finding(Fault.MISSING, following or f"number {last + 1}", words)]
    at_head = next((one for one in records if one.number == head.most), None)
    if at_head is not None and head.hash and at_head.spec.get("hash") != head.hash:
        words = f"{head.source} has the hash {head.hash} for number {head.most}"
        return [Finding(Fault.FOREIGN, at_head.name, words)]
    return [
        Finding(Fault.FOREIGN, one.name, f"{head.source} has number {head.most} as the last")
        for one in records
        if one.number > head.most
    ]


def _called(beside: _Record, number: int) -> str:
    """Return the name of a record that is not there."""
    return name_of(str(beside.spec.get("release")), str(beside.spec.get("releaseUID")), number)


def _numbers(gone: range) -> str:
    return f"number {gone[0]} is missing" if len(gone) == 1 else f"numbers {gone[0]} to {gone[-1]} are missing"


def _slim(value: Any) -> Any:
    """Return a value without what is empty in it: the API server keeps it so, and it need not be paid for."""
    if isinstance(value, Mapping):
        return {name: slim for name, item in value.items() if (slim := _slim(item)) not in ("", [], {}, None)}
    return [_slim(item) for item in value] if isinstance(value, list | tuple) else value
