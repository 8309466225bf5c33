"""What an image begins with, for sources whose environment is an image already: the task's own, for those of harbor."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from interop.environment import Source

PLACE = "/opt/interop"
"""Where all of the hub's is in such an image, so that it stands nowhere that an agent works."""
ALONE = "an episode uses up its container, and the official validator gives that nothing to write to"
"""Why the official validator cannot play such an image."""


class OwnImage(Protocol):
    """What a source's `own_image()` returns, which raises `SourceError` where no image can play the source."""

    @property
    def name(self) -> str:
        """What is played, for the package's name."""

    @property
    def query(self) -> str:
        """What stands behind the copy's path in the source that the image serves, with its question mark."""

    # What it says of itself; 0 and None where it does not

    @property
    def memory_mb(self) -> int: ...

    @property
    def cpus(self) -> float: ...

    @property
    def seconds(self) -> float | None:
        """Of an episode, with what judges it."""

    # The files

    def write(self, directory: Path) -> None:
        """Copy what is served, and what its image is built from, into a directory that is not there."""

    def stages(self, directory: str, base_image: str | None) -> tuple[str, str]:
        """The instructions that the Dockerfile begins with, where the copy is there, and the last stage's name.

        The build argument BASE_IMAGE is what they begin with; `base_image` is its default, instead of what they say.
        """

    def ignored(self, directory: str) -> list[str]:
        """What `.dockerignore` says of the copy."""

    def copies(self, directory: str, target: str) -> str:
        """The instructions that copy what is served from the copy to a directory of the image."""


def own_image_of(source: Source) -> OwnImage | None:
    """None where an image is made for the hub. Raises `SourceError` where none can play the source."""
    make = getattr(source, "own_image", None)
    image: OwnImage | None = None if make is None else make()
    return image


def texts(own: OwnImage, directory: str, base_image: str | None) -> dict[str, str]:
    """What the files of a package say of it; `directory` has the copy."""
    stages, stage = own.stages(directory, base_image)
    # Elsewhere in a package these are left over; here they are a part of what is served.
    ignored = [f"!{directory}/**/__pycache__", *own.ignored(directory)]
    return {
        "stages": stages,
        "stage": stage,
        "home": PLACE,
        "copies": own.copies(directory, f"{PLACE}/env/{directory}"),
        "ignored": "".join(f"{line}\n" for line in ignored),
    }
