"""The CustomResourceDefinitions and what is generated besides, without an API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.api import crds, reference
from tidegate.api.names import GROUP, VERSION
from tidegate.api.policy import RolloutPolicySpec
from tidegate.api.release import ReleaseSpec
from tidegate.api.schema import unbounded

ROOT = Path(__file__).parents[3]


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Go through all fields of a schema."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from fields(schema[key], path + ("[]" if key == "items" else "{}"))


@pytest.mark.parametrize("folder", ["crds", "charts/tidegate/files/crds"])
def test_files_say_what_the_models_say(folder: str) -> None:
    """The checked-in files are up to date; if not: python -m tidegate.api.crds crds charts/tidegate/files/crds."""
    assert crds.stale_files(ROOT / folder) == []


def test_every_file_is_installed_by_kustomize() -> None:
    """The kustomization of the folder names each definition."""
    listing = yaml.safe_load((ROOT / "crds" / "kustomization.yaml").read_text())

    assert sorted(listing["resources"]) == sorted(crds.render_files())


def test_reference_is_up_to_date() -> None:
    """The checked-in reference is what the models say; if not: python -m tidegate.api.reference docs/reference.md."""
    assert (ROOT / "docs" / "reference.md").read_text() == reference.render()


def test_check_says_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` writes nothing, fails and names the files; after a run without it, it is content."""
    assert crds.main(["--check", str(tmp_path)]) == 1
    assert "releases.yaml" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

    assert crds.main([str(tmp_path)]) == 0
    assert crds.main(["--check", str(tmp_path)]) == 0


def test_reference_check_fails_on_another_text(tmp_path: Path) -> None:
    """`--check` of the reference fails until it has been written."""
    file = tmp_path / "docs" / "reference.md"

    assert reference.main(["--check", str(file)]) == 1
    assert reference.main([str(file)]) == 0
    assert reference.main(["--check", str(file)]) == 0


@pytest.mark.parametrize("kind", crds.KINDS, ids=lambda kind: kind.name)
class TestKind:
    """What holds for each kind."""

    def test_names_follow_the_group(self, kind: crds.Kind) -> None:
        """The definition is named by plural and group, has a short name and is in the category tidegate."""
        definition = crds.build_crd(kind)

        assert definition["metadata"]["name"] == f"{kind.plural}.{GROUP}"
        assert definition["spec"]["versions"][0]["name"] == VERSION
        assert definition["spec"]["names"]["categories"] == ["tidegate"]
        assert definition["spec"]["names"]["shortNames"] == [kind.short]

    def test_every_field_is_described(self, kind: crds.Kind) -> None:
        """`kubectl explain` has something to say about each field."""
        found = fields(crds.build_schema(kind), "")

        silent = [path for path, schema in found if "description" not in schema and not path.startswith(".metadata")]

        assert silent == []

    def test_defaults_are_said(self, kind: crds.Kind) -> None:
        """A default of the schema stands in the description too, for `kubectl explain` shows no other."""
        found = [(path, schema) for path, schema in fields(crds.build_schema(kind), "") if "default" in schema]

        for path, schema in found:
            default = schema["default"]
            said = str(default).lower() if isinstance(default, bool) else default
            if not isinstance(default, dict):
                assert f"Default: {said}." in schema["description"], path

    def test_nothing_grows_without_limit(self, kind: crds.Kind) -> None:
        """Each string, list and map is bounded, in the status as well."""
        assert unbounded(crds.build_schema(kind)) == []

    def test_keys_of_list_maps_are_required(self, kind: crds.Kind) -> None:
        """Server-side apply needs each key in each item."""
        for path, schema in fields(crds.build_schema(kind), ""):
            assert set(schema.get("x-kubernetes-list-map-keys", ())) <= set(schema.get("items", {}).get("required", ())), path

    def test_lists_of_objects_are_maps_or_ordered(self, kind: crds.Kind) -> None:
        """Lists of objects merge by a key under server-side apply, but for those whose order counts, and those without a key.

        Routes of two kinds may have one name; and the operator alone writes what is noted of them, all at once. Windows have no
        names, and two may begin at one time. Of the Releases that another comes after, people read of the
        first that is in the way. Several approvals may be about one point, under conditions. A record is written once, and what a
        rollout's status keeps for it by the operator alone.
        """
        atomic = {
            path
            for path, schema in fields(crds.build_schema(kind), "")
            if schema.get("type") == "array" and schema["items"]["type"] == "object" and "x-kubernetes-list-type" not in schema
        }

        ordered = ("steps", "windows.allow", "windows.deny", "rules")
        ruled = tuple(f"rules[].set.{name}" for name in (*ordered, "approvals"))
        of_policies = {f"{place}.{name}" for place in (".spec", ".status.rollout.spec") for name in (*ordered, *ruled, "approvals")}
        recorded = (
            {f".spec.{name}" for name in ("after", "authors", "checks", "course", "decisions", "flags", "gates", "migrations")}
            if kind.as_written
            else set()
        )
        recorded |= {f".status.rollout.trail.{name}" for name in ("authors", "course")}
        assert atomic <= of_policies | recorded | {
            ".spec.after",
            ".status.flags[].given",
            ".status.outbox.transitions",
            ".status.originalRules",
        }


def test_status_has_no_defaults_and_copied_policies_no_rules() -> None:
    """The API server adds nothing to a status, and never refuses it for a rule that is younger than the rollout."""
    (release,) = (kind for kind in crds.KINDS if kind.name == "Release")
    status = crds.build_schema(release)["properties"]["status"]

    for path, schema in fields(status, ""):
        assert "default" not in schema, path
        if path.startswith(".rollout.spec"):
            assert "x-kubernetes-validations" not in schema, path


def test_observed_generation_is_wide() -> None:
    """A generation is an int64 wherever it stands, as tools expect."""
    (release,) = (kind for kind in crds.KINDS if kind.name == "Release")
    found = [schema for path, schema in fields(crds.build_schema(release), "") if path.endswith(".observedGeneration")]

    assert [schema["format"] for schema in found] == ["int64", "int64"]


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda file: file.stem)
def test_examples_are_read_as_they_are_written(file: Path) -> None:
    """The models read each example, and know all its fields."""
    for document in yaml.safe_load_all(file.read_text()):
        model = ReleaseSpec if document["kind"] == "Release" else RolloutPolicySpec

        wire = model.model_validate(document["spec"]).to_wire()

        assert missing(document["spec"], wire) == []


def missing(written: Any, read: Any, path: str = "spec") -> list[str]:
    """Name the fields that were written and not read."""
    match written, read:
        case dict(), dict():
            lost = [f"{path}.{name}" for name in written.keys() - read.keys()]
            return lost + [
                gone for name in written.keys() & read.keys() for gone in missing(written[name], read[name], f"{path}.{name}")
            ]
        case list(), list():
            return [gone for mine, theirs in zip(written, read, strict=True) for gone in missing(mine, theirs, f"{path}[]")]
    return []


def test_seed_policy_says_what_the_demo_shows() -> None:
    """10% for 30 minutes, then all; errors and availability undo a rollout, latency pauses it."""
    spec = RolloutPolicySpec.model_validate(yaml.safe_load((ROOT / "examples" / "policy-seed.yaml").read_text())["spec"])

    gates = {gate.name: gate for gate in spec.gates}
    assert [(step.weight, step.hold.total_seconds()) for step in spec.steps] == [(10, 1800), (100, 0)]
    assert {name: gate.on_breach.value for name, gate in gates.items()} == {
        "error-rate": "Rollback",
        "p99-latency": "Pause",
        "availability": "Rollback",
    }
    assert gates["availability"].threshold is not None
    assert gates["availability"].threshold.min == 0.999
