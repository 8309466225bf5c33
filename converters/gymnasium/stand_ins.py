"""Spaces that stand in for what cannot be rebuilt, or only at a price."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Text

_MORE: Final = 64  # characters that a sample has beyond the minimum, at most


class UnicodeText(Text):
    """Any str of `min_length` to `max_length` characters.

    `Text` with a charset of all of Unicode takes seconds to build and tens of megabytes to pickle; this takes neither.
    Samples are of printable ASCII and short, so `charset`-related attributes (masks too) speak of printable ASCII.
    """

    def __init__(self, max_length: int, *, min_length: int = 0, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=min_length, charset=string.printable, seed=seed)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        if mask is not None or probability is not None:
            return super().sample(mask, probability)
        longest = min(self.max_length, self.min_length + _MORE)
        length = int(self.np_random.integers(self.min_length, longest + 1))
        return "".join(self.np_random.choice(self.character_list, size=length).tolist())

    def __eq__(self, other: object, /) -> bool:
        return (
            isinstance(other, UnicodeText)
            and self.min_length == other.min_length
            and self.max_length == other.max_length
        )

    def __repr__(self) -> str:
        return f"UnicodeText({self.min_length}, {self.max_length})"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_char_")}

    def __setstate__(self, state: Any) -> None:
        Text.__init__(self, 1, charset=string.printable)
        super().__setstate__(state)


class OpaqueSpace(Space[Any]):
    """What is known here of a space whose class is not Gymnasium's: its class, its dtype and shape, some elements.

    Attributes:
        class_name: The class as "module:qualified.name".
        examples: Elements of the space; `sample` picks one of them, by the space's own random stream.
    """

    def __init__(
        self,
        class_name: str,
        *,
        shape: Sequence[int] | None = None,
        dtype: Any = None,
        examples: Sequence[Any] = (),
        seed: int | np.random.Generator | None = None,
    ) -> None:
        self.class_name = class_name
        self.examples = list(examples)
        super().__init__(shape, dtype, seed)

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def contains(self, x: Any) -> bool:
        """Whether `x` is of the type of an example; anything, where there are no examples."""
        return not self.examples or any(type(x) is type(example) for example in self.examples)

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """One of the examples. Raises `NotImplementedError` where there are none."""
        if mask is not None or probability is not None:
            raise NotImplementedError(f"{self!r} is sampled from examples, without a mask")
        if not self.examples:
            raise NotImplementedError(f"{self!r} has no examples to sample from: only the real class can sample")
        return self.examples[int(self.np_random.integers(len(self.examples)))]

    def __eq__(self, other: object, /) -> bool:
        if isinstance(other, OpaqueSpace):
            return self.class_name == other.class_name
        return isinstance(other, Space) and self.class_name == class_name(type(other))

    def __repr__(self) -> str:
        return f"OpaqueSpace({self.class_name})"


def class_name(kind: type) -> str:
    """A class as "module:qualified.name"."""
    return f"{kind.__module__}:{kind.__qualname__}"
