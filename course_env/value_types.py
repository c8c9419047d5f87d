"""The registry of value types that may travel between a judge and a rank.

Student code may take and return plain data, tensors and the frozen dataclasses registered here. Nothing else crosses the
boundary, so the judge never receives an object with behaviour that a student wrote.
"""

import dataclasses
from typing import TypeVar

T = TypeVar("T")

VALUE_TYPES: dict[str, type] = {}
# The modules that define the course's own value types. They load no torch, so loading them is cheap.
MODULES = (
    "course_env.communication",
    "course_env.gpt_config",
    "course_env.layout",
    "course_env.pipeline",
    "course_env.scaling",
    "course_env.topology",
)


def value_type(cls: type[T]) -> type[T]:
    """Register a frozen dataclass under its class name, so that it may travel as plain fields.

    Raises: TypeError if `cls` is not a frozen dataclass, if another class has that name, or if its module is not in MODULES.
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
