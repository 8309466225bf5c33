"""$title as an official environment class, for tools that build environments themselves. It needs openenv."""

from interop.packaging.environment import PackagedEnvironment

try:
    from ..models import ${prefix}Action, ${prefix}Observation, ${prefix}State
    from .app import app
except ImportError:  # run in the package's directory, as in the image
    from models import ${prefix}Action, ${prefix}Observation, ${prefix}State
    from server.app import app


class ${prefix}Environment(PackagedEnvironment[${prefix}Action, ${prefix}Observation, ${prefix}State]):
    """$prose"""

    SERVES = app
    OBSERVATION = ${prefix}Observation
    STATE = ${prefix}State
