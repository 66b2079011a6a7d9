"""Which program stands for which image."""

import json
import os
import pathlib

import pytest

from tidegate_sandbox.node_agent import agent, images


def test_a_wildcard_covers_every_tag_of_an_image():
    """A key with a wildcard tag stands for all versions of the image."""
    known = images.parse_catalogue({"registry.example/checkout:*": {"command": ["serve"], "env": {"A": "1"}}})

    program = known.resolve("registry.example/checkout:v7")

    assert images.Program(("serve",), (), {"A": "1"}) == program


def test_the_most_specific_key_wins():
    """An exact name beats a pattern, and a longer pattern beats a shorter one."""
    known = images.parse_catalogue(
        {
            "registry.example/*": {"command": ["any"]},
            "registry.example/checkout:*": {"command": ["checkout"]},
            "registry.example/checkout:v3": {"command": ["third"]},
        }
    )

    found = [known.resolve(f"registry.example/{name}") for name in ("cart:v1", "checkout:v1", "checkout:v3")]

    assert [program.command[0] for program in found if program] == ["any", "checkout", "third"]


def test_an_image_that_maps_to_nothing_has_no_program():
    """An unknown image is not found rather than replaced by something else."""
    known = images.parse_catalogue({"registry.example/checkout:*": {"command": ["serve"]}})

    assert known.resolve("registry.example/cart:v1") is None


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("registry.example:5000/checkout:v2", "v2"),
        ("registry.example:5000/checkout", "latest"),
        ("busybox", "latest"),
        ("busybox:1.36@sha256:abc", "1.36"),
        ("busybox@sha256:abc", "sha256:abc"),
    ],
)
def test_the_tag_is_read_from_the_reference(image: str, tag: str):
    """A port of the registry is no tag, and a missing tag means latest."""
    assert tag == images.image_tag(image)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ([], "expected an object of image names"),
        ({"a": []}, "image 'a': expected an object"),
        ({"a": {"command": []}}, "image 'a': command must name a program"),
        ({"a": {"command": "serve"}}, "image 'a': command must be a list of strings"),
        ({"a": {"command": ["serve"], "env": {"PORT": 1}}}, "image 'a': env must map names to strings"),
        ({"a": {"command": ["serve"], "cmd": []}}, "image 'a': unknown field 'cmd'"),
    ],
)
def test_a_malformed_file_is_refused_by_entry(raw: object, complaint: str):
    """The message names the entry and what is wrong with it."""
    with pytest.raises(images.ImageFileError, match=complaint):
        images.parse_catalogue(raw)


def test_a_changed_file_is_read_again(tmp_path: pathlib.Path):
    """An image added while the agent runs is found at the next attempt; a broken edit leaves the last good state."""
    file = tmp_path / "images.json"
    file.write_text("{}")
    watched = agent.WatchedCatalogue(file)
    assert watched.resolve("checkout:v1") is None

    file.write_text(json.dumps({"checkout:*": {"command": ["serve"]}}))
    os.utime(file, ns=(1, 1))
    found = watched.resolve("checkout:v1")
    file.write_text("{")
    os.utime(file, ns=(2, 2))
    kept = watched.resolve("checkout:v1")

    assert images.Program(("serve",)) == found == kept


def test_without_a_file_the_demo_service_stands_for_registry_example():
    """The default catalogue runs the demo service and knows no other registry."""
    program = images.DEFAULT.resolve("registry.example/checkout:v1")

    assert program is not None
    assert program.command[1:] == ("-m", "tidegate_sandbox.demo_service")
    assert images.DEFAULT.resolve("registry.invalid/checkout:v1") is None
