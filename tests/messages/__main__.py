"""Write the catalogue anew: `make messages`."""

from __future__ import annotations

from messages.catalogue import FOLDER, catalogue


def main() -> None:
    """Write each file of the catalogue, and remove those that nothing belongs to any more."""
    lines = catalogue()
    for path in FOLDER.glob("*.txt"):
        if path.stem not in lines and path.stem != "allowed":
            path.unlink()
    for name, told in lines.items():
        (FOLDER / f"{name}.txt").write_text("\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
