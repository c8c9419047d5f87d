"""The registry of value types that may travel between a judge and a rank.

Student code may take and return plain data, tensors and the frozen dataclasses registered here; nothing else
crosses the boundary, so no object with behaviour of its own ever reaches the judge.
"""

import dataclasses
from typing import TypeVar

T = TypeVar("T")

VALUE_TYPES: dict[str, type] = {}
# Where the course's own value types are defined. Loading any of these must stay cheap: they load no torch.
MODULES = (
    "course_env.communication",
    "course_env.gpt_config",
    "course_env.layout",
    "course_env.scaling",
    "course_env.topology",
)


def value_type(cls: type[T]) -> type[T]:
    """Register a frozen dataclass under its class name, so that it may travel as plain fields.

    Raises: TypeError if `cls` is no frozen dataclass, if another class has that name, or if its module is not in MODULES.
    """
    if cls.__module__.startswith("course_env.") and cls.__module__ not in MODULES:
        message = f"{cls.__name__} cannot travel: add {cls.__module__!r} to MODULES in course_env/value_types.py."
        raise TypeError(message)
    if not dataclasses.is_dataclass(cls) or not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined] # typeshed omits it
        message = f"{cls.__name__} must be a frozen dataclass to travel between judge and rank."
        raise TypeError(message)
    if VALUE_TYPES.setdefault(cls.__name__, cls) is not cls:
        message = f"A value type named {cls.__name__} is registered already: {VALUE_TYPES[cls.__name__]!r}."
        raise TypeError(message)
    return cls
