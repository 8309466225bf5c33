"""The names of a package: what the official tools accept, and how they derive one from the other."""

from __future__ import annotations

import pytest

from interop.errors import SourceError
from interop.packaging.names import named


@pytest.mark.parametrize(
    ("environment", "name", "distribution", "prefix", "image"),
    [
        ("CartPole-v1", "cartpole_v1_env", "openenv-cartpole-v1-env", "CartpoleV1", "openenv-cartpole_v1"),
        ("ALE/Pong-v5", "ale_pong_v5_env", "openenv-ale-pong-v5-env", "AlePongV5", "openenv-ale_pong_v5"),
        ("my_env", "my_env", "openenv-my-env", "My", "openenv-my"),
    ],
)
def test_names_come_from_the_environments(
    environment: str, name: str, distribution: str, prefix: str, image: str
) -> None:
    """Snake case for the package and its module, kebab case for its distribution, capitals for its classes."""
    names = named(None, environment)
    assert (names.name, names.distribution, names.prefix, names.image) == (name, distribution, prefix, image)


def test_a_given_name_is_kept() -> None:
    """No suffix is added to a name that was given."""
    assert named("lake", "FrozenLake-v1").name == "lake"


@pytest.mark.parametrize("name", ["My_Env", "my-env", "1_env", "_env", "", "größe", "my env", "_env_env"])
def test_a_name_that_the_official_tools_refuse(name: str) -> None:
    """The error has the name and says what is accepted."""
    with pytest.raises(SourceError, match=r"the official tools refuse the name .* such as my_env; give another one"):
        named(name, "CartPole-v1")


@pytest.mark.parametrize("name", ["class", "json", "interop", "openenv", "models"])
def test_a_name_that_is_taken(name: str) -> None:
    """A package that hid a module of others is not written."""
    with pytest.raises(SourceError, match="is a name that Python or the hub has taken"):
        named(name, "CartPole-v1")


def test_an_environment_without_letters() -> None:
    """Where no name can be made of the environment's, one must be given."""
    with pytest.raises(SourceError, match="--name"):
        named(None, "2048")
