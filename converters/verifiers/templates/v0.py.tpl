"""An OpenEnv server as an environment of verifiers."""

from converters.verifiers.expose import v0

URL = "$url"


def load_environment(url: str = URL, **arguments):
    """The environment of the server at `url`.

    Arguments: split, eval_split, num_tasks, seed, timeout, and those of MultiTurnEnv, such as max_turns.
    """
    return v0.load(url, **arguments)
