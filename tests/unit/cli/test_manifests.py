"""Manifests are checked as the API server checks them, without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.cli.manifests import ManifestError, load

ROOT = Path(__file__).parents[3]
VALID = sorted([*(ROOT / "tests" / "corpus" / "valid").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])
INVALID = sorted((ROOT / "tests" / "corpus" / "invalid").glob("*.yaml"))


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "manifest.yaml"
    file.write_text(text)
    return file


def policy(spec: str) -> str:
    return f"apiVersion: tidegate.dev/v1alpha1\nkind: RolloutPolicy\nmetadata: {{name: p}}\nspec:\n{spec}"


def found(file: Path) -> list[tuple[int, str, str]]:
    return [(each.line(one.place), one.field, one.message) for each in load(file) for one in each.findings]


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_what_the_server_takes_is_found_sound(file: Path) -> None:
    """The manifests that the API server is known to accept have no finding."""
    assert [] == found(file)


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_what_the_server_refuses_is_found_at_the_same_field(file: Path) -> None:
    """The manifests that the API server is known to refuse are refused here, for the same field."""
    expected = file.read_text().splitlines()[0].removeprefix("# expect: ")

    assert expected in [field for _, field, _ in found(file)]


@pytest.mark.parametrize(
    ("spec", "finding"),
    [
        ("  stepz: [{weight: 100}]\n", (5, "spec.stepz", "there is no such field: did you mean steps?")),
        ("  steps: [{weight: 100, holdd: 1m}]\n", (5, "spec.steps[0].holdd", "there is no such field: did you mean hold?")),
        (
            "  steps:\n  - weight: 100\n  gates:\n  - name: a\n    points: 1\n",
            (9, "spec.gates[0].points", "there is no such field"),
        ),
        ("  steps:\n  - weight: '100'\n", (6, "spec.steps[0].weight", "must be of type integer, and is text")),
        ("  steps:\n  - weight: true\n", (6, "spec.steps[0].weight", "must be of type integer, and is true or false")),
        ("  steps:\n  - {weight: 100, hold: 30}\n", (6, "spec.steps[0].hold", "must be text such as 30s, and is a number")),
        ("  steps: {weight: 100}\n", (5, "spec.steps", "must be a list, and is a map")),
        ("  steps:\n", (5, "spec.steps", "must be a list, and is empty")),
        (
            "  steps: [{weight: 100}]\n  bake: 1d\n",
            (6, "spec.bake", "'1d' is not a duration: write for example 30s, 5m or 1h30m"),
        ),
        ("  steps: [{weight: 101}]\n", (5, "spec.steps[0].weight", "must be at most 100, and is 101")),
        ("  steps: []\n", (5, "spec.steps", "must have at least 1 item, and has 0")),
        ("  steps: [{weight: 50}]\n", (5, "spec.steps", "the last step must have weight 100")),
        ("  steps: [{hold: 1m}]\n", (5, "spec.steps[0].weight", "is required")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_finding_names_line_field_and_cause(tmp_path: Path, spec: str, finding: tuple[int, str, str]) -> None:
    """Given a mistake that people make, then the finding says where it is, what is wrong, and what was probably meant."""
    assert finding in found(written(tmp_path, policy(spec)))


def test_a_field_at_the_wrong_level_is_told_where_it_belongs(tmp_path: Path) -> None:
    """`points` under versusStable is a field of maxIncrease: the finding says so."""
    gate = "{name: a, metric: {preset: {source: HTTP, measure: ErrorRate}}, versusStable: {points: 1}}"

    messages = [one[2] for one in found(written(tmp_path, policy(f"  steps: [{{weight: 100}}]\n  gates: [{gate}]\n")))]

    assert "there is no such field: points is a field of maxIncrease and of maxDecrease" in messages


def test_a_value_that_is_not_among_the_choices_is_corrected(tmp_path: Path) -> None:
    """Case matters to the API server, so the right spelling is suggested."""
    gate = "{name: a, metric: {preset: {source: envoy, measure: ErrorRate}}, threshold: {max: 1}}"

    (finding,) = found(written(tmp_path, policy(f"  steps: [{{weight: 100}}]\n  gates: [{gate}]\n")))

    assert finding[1] == "spec.gates[0].metric.preset.source"
    assert finding[2].endswith("and is envoy: did you mean Envoy?")


@pytest.mark.parametrize(
    ("head", "field", "message"),
    [
        ("apiVersion: tidegate.dev/v1alpha1\nkind: Rollout\n", "kind", "there is no kind Rollout: did you mean RolloutPolicy?"),
        ("apiVersion: tidegate.dev/v1\nkind: Release\n", "apiVersion", "must be tidegate.dev/v1alpha1"),
        ("apiVersion: tidegate.dev/v1alpha1\nkind: Release\nspec: {}\n", "metadata.name", "is required"),
    ],
)
def test_kind_version_and_name_are_checked(tmp_path: Path, head: str, field: str, message: str) -> None:
    """What is no kind of this version is said at once."""
    assert (field, message) in [(one[1], one[2]) for one in found(written(tmp_path, head))]


def test_other_objects_are_left_alone_and_lists_are_opened(tmp_path: Path) -> None:
    """Given a file with all sorts of objects, then only Tidegate's are looked at, also those of a List, with their lines."""
    text = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: checkout}\n---\n---\n"
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: tidegate.dev/v1alpha1\n  kind: RolloutPolicy\n"
        "  metadata: {name: p}\n  spec: {steps: [{weight: 1}]}\n"
    )

    (manifest,) = load(written(tmp_path, text))

    assert ("RolloutPolicy/p", 12) == (manifest.label, manifest.line(manifest.findings[0].place))


def test_scalars_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    """1e2 is a number for kubectl, and a date is text; PyYAML has both otherwise."""
    assert [] == found(written(tmp_path, policy("  steps: [{weight: 100}]\n  confidence: 9.9e-1\n")))
    (finding,) = found(written(tmp_path, policy("  steps: [{weight: 100, name: 2026-11-21, hold: 2026-11-21}]\n")))
    assert "spec.steps[0].hold" == finding[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [\n", "is not YAML"),
        ("a: \x00\n", "is not YAML"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, told: str) -> None:
    """The message names file and cause, and where there is one the place."""
    file = tmp_path / "manifest.yaml"
    if text is not None:
        file.write_text(text)

    with pytest.raises(ManifestError, match=told) as caught:
        load(file)

    assert str(file) in str(caught.value)
