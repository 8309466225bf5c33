"""The names of a package, as the official tools derive one from the other."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass

from interop.errors import SourceError

_TAKEN = {"client", "models", "server", "interop", "converters", "conformance", "openenv"}


@dataclass(frozen=True)
class Names:
    """The names of a package.

    Attributes:
        name: The environment, the package and its module: `cartpole_v1_env`.
    """

    name: str

    @property
    def distribution(self) -> str:
        """`openenv-` and the name: by that AutoEnv finds what is installed."""
        return f"openenv-{self.name.replace('_', '-')}"

    @property
    def prefix(self) -> str:
        """How classes begin, as AutoEnv derives it (`auto/_discovery.py`): `CartpoleV1`."""
        return "".join(word.capitalize() for word in self.name.replace("_env", "").split("_"))

    @property
    def image(self) -> str:
        """What `openenv build` tags: `openenv-cartpole_v1`."""
        return f"openenv-{self.name.removesuffix('_env')}"


def named(given: str | None, environment: str) -> Names:
    """The names of a package, from a given name or else from that of the environment. Raises `SourceError`."""
    slug = re.sub(r"[^a-z0-9]+", "_", environment.lower()).strip("_")
    name = given if given is not None else f"{slug.removesuffix('_env')}_env"
    right = name.isascii() and name.isidentifier() and name == name.lower() and name[0] != "_"
    names = Names(name)
    if not right or not names.prefix[:1].isalpha():
        raise SourceError(
            f"the official tools refuse the name {name!r}; accepted are lower-case letters, digits and '_', the first "
            "one a letter, such as my_env; give another one with --name"
        )
    if keyword.iskeyword(name) or name in _TAKEN or name in sys.stdlib_module_names:
        raise SourceError(f"{name!r} is a name that Python or the hub has taken; give another one with --name")
    return names
