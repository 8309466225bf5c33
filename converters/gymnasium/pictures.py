"""What of a Gymnasium environment agents see as images: the rendered frame, and observations that are images."""

from __future__ import annotations

import io
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as S

SMALLEST = 16
"""Pixels of each side from which on an array of bytes is an image."""
_CHANNELS = (1, 3, 4)


def pictures(env: gymnasium.Env[Any, Any], obs: Any) -> dict[str, bytes]:
    """PNG by name: `obs` where the observation space is of images, `render` where the environment renders `rgb_array`.

    An image is a uint8 array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4). Without Pillow there are none.
    """
    if find_spec("PIL") is None:
        return {}
    found = {"obs": obs} if _of_images(env.observation_space) else {}
    if env.render_mode == "rgb_array":
        found["render"] = env.render()
    return {name: _png(pixels) for name, pixels in found.items() if _is_image(pixels)}


def _of_images(space: Any) -> bool:
    return isinstance(space, S.Box) and space.dtype == np.uint8 and _shape_fits(space.shape)


def _is_image(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and _shape_fits(value.shape)


def _shape_fits(shape: tuple[int, ...]) -> bool:
    channels = len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS)
    return channels and min(shape[:2]) >= SMALLEST


def _png(pixels: Any) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels).save(file, "PNG")
    return file.getvalue()
