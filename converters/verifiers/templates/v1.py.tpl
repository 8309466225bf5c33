"""An OpenEnv server as a taskset of verifiers."""

from converters.verifiers.expose.v1 import OpenEnvEnv, OpenEnvTaskset

__all__ = ["OpenEnvEnv", "ServerTaskset"]


class ServerTaskset(OpenEnvTaskset):
    """The server's tasks; url, split, num_tasks and seed can be set."""

    URL = "$url"
