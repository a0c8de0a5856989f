"""The registry: a decorated dataclass is an option of its group, by its name."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def register(group: str, options: dict[str, Any], name: str) -> Callable[[type[T]], type[T]]:
    """A class decorator: makes a keyword-only dataclass whose `name` is `name`, and lists it.

    The class is not given slots: `super()` keeps working in a user's own option.

    Args:
        group: `model`, `schedule`, `optimizer` or `data`, for messages.
        options: The options of that group; gets the class.
        name: What a user types behind `<group>=`.

    Raises:
        ValueError: If the name is taken.
    """

    def decorate(option: type[T]) -> type[T]:
        if name in options:
            taken = options[name]
            raise ValueError(
                f"{group} {name}: is there already ({taken.__module__}.{taken.__qualname__}); "
                "give yours another name"
            )
        option.__annotations__ = {"name": str, **inspect.get_annotations(option)}
        setattr(option, "name", name)  # noqa: B010  # a field's default
        options[name] = made = dataclass(kw_only=True)(option)
        return made

    return decorate
