"""Which local program stands for which container image.

Nothing is pulled: a manifest keeps the image that it would have elsewhere, and a catalogue says what runs for it here.
"""

from __future__ import annotations

import fnmatch
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


class ImageFileError(ValueError):
    """The images file cannot be read or does not have the expected shape; the message names the entry."""


@dataclass(frozen=True)
class Program:
    """A local program that stands for an image: entry point, default arguments and the image's own environment."""

    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageCatalogue:
    """Maps image references to programs. A key may hold shell wildcards, as in ``registry.example/checkout:*``."""

    programs: Mapping[str, Program]

    def resolve(self, image: str) -> Program | None:
        """Return the program for ``image``: of the exact key, else of the longest pattern that matches; else None."""
        reference = with_tag(image)
        exact = self.programs.get(image) or self.programs.get(reference)
        if exact is not None:
            return exact
        matching = [key for key in self.programs if fnmatch.fnmatchcase(reference, key)]
        return self.programs[max(matching, key=len)] if matching else None


DEFAULT = ImageCatalogue({"registry.example/*": Program((sys.executable, "-m", "tidegate_sandbox.demo_service"))})
"""Without an images file every image of registry.example is the demo service; no other image exists."""


def with_tag(image: str) -> str:
    """Return ``image`` with ``:latest`` appended where it has neither a tag nor a digest."""
    last = image.rsplit("/", 1)[-1]
    return image if ":" in last or "@" in last else f"{image}:latest"


def image_tag(image: str) -> str:
    """Return the tag of an image reference; ``latest`` without one, the digest where only a digest is given."""
    name, _, digest = image.partition("@")
    last = name.rsplit("/", 1)[-1]
    if ":" in last:
        return last.rsplit(":", 1)[1]
    return digest or "latest"


def load_catalogue(path: pathlib.Path) -> ImageCatalogue:
    """Read a JSON file ``{image: {"command": [...], "args": [...], "env": {...}}}``.

    Raises ImageFileError when the file is missing, is no JSON, or an entry is malformed.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageFileError(f"images file {path}: {error}") from error
    return parse_catalogue(raw)


def parse_catalogue(raw: object) -> ImageCatalogue:
    """Build a catalogue from the parsed images file. Raises ImageFileError naming the entry that is wrong."""
    if not isinstance(raw, dict):
        raise ImageFileError("images file: expected an object of image names")
    return ImageCatalogue({image: _parse_program(image, entry) for image, entry in raw.items()})


def _parse_program(image: str, entry: object) -> Program:
    if not isinstance(entry, dict):
        raise ImageFileError(f"image {image!r}: expected an object with a command")
    unknown = sorted(set(entry) - {"command", "args", "env"})
    if unknown:
        raise ImageFileError(f"image {image!r}: unknown field {unknown[0]!r}")
    command = _strings(image, "command", entry.get("command", []))
    if not command:
        raise ImageFileError(f"image {image!r}: command must name a program")
    env = entry.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise ImageFileError(f"image {image!r}: env must map names to strings")
    return Program(command, _strings(image, "args", entry.get("args", [])), dict(env))


def _strings(image: str, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise ImageFileError(f"image {image!r}: {name} must be a list of strings")
    return tuple(value)
