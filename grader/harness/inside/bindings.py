"""What a rank observes student code with: bound before that code is imported, out of its reach by name, compared afterwards.

A rank's program, the meters that it uses, and the harness run in the process of the code that they observe. Python
hides nothing from code that looks for it, so this decides nothing by itself: it makes a forger go through frames or the
garbage collector, which whoever reads the file sees, and it ends a launch in which something was left changed.
"""

import builtins
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, NamedTuple, NoReturn

OBSERVERS = ("course_env.collective_meter", "course_env.meters", "course_env.rank_programs", "course_env.toy_models")
"""The modules of `course_env` that observe. The rest is as much the student's as ours: value types, TinyGPT."""

OURS = ("grader", *OBSERVERS)

DONE_BEFORE = (
    *("inside.confine", "inside.connections", "inside.landlock", "inside.linux", "inside.namespaces", "inside.seccomp"),
    *("inside.supervisor", "inside.zygote", "protocol.descriptors", "protocol.sources"),
)
"""Modules of the harness that have done their work before student code is imported: whoever changes them changes nothing."""

WATCHED = (
    *("builtins", "torch", "torch.autograd.graph", "torch.distributed", "torch.distributed.distributed_c10d"),
    *("torch.nn", "torch.nn.functional", "torch.nn.parallel.distributed"),
)
"""Modules of other people by which our own observe."""

BOUND = (
    *(FunctionType, BuiltinFunctionType, type, property, staticmethod, classmethod),
    *(MethodDescriptorType, WrapperDescriptorType, GetSetDescriptorType),
)
WRAP_THEMSELVES = "torch.optim."
"""The module whose classes replace their own methods when the first object is made."""

Namespace = Mapping[str, Any]


class _Binding(NamedTuple):
    """A name, and the function or class that it must go on to mean."""

    place: str
    """The module or class that has the name."""

    namespace: Namespace
    name: str
    thing: Any
    code: object
    """Of a function: what it runs; a caller can replace that, too."""


Bound = tuple[_Binding, ...]


class _Prepared(NamedTuple):
    """What is the same in every rank, found once in the zygote."""

    modules: tuple[ModuleType, ...] = ()
    """Ours."""

    always: Bound = ()
    """What the harness itself uses after student code was imported."""

    of_observer: Mapping[str, Bound] = MappingProxyType({})
    """What each of `OBSERVERS` uses, by its name."""

    num_modules: int = 0
    """How many modules there were, ours and others."""


_prepared = _Prepared()


def prepare() -> None:
    """Bind what observes in every rank; done once, in the zygote."""
    global _prepared  # noqa: PLW0603 - forks inherit it, as they do the modules themselves
    modules = _observers(sys.modules)
    of_harness = [module for module in modules if not module.__name__.endswith((*DONE_BEFORE, *OBSERVERS))]
    of_observer = {name: tuple(_bindings_of([sys.modules[name]])) for name in OBSERVERS if name in sys.modules}
    _prepared = _Prepared(tuple(modules), tuple(_bindings_of(of_harness)), of_observer, len(sys.modules))


def bind(program: ModuleType | None, *, refuses: bool, hidden: bool) -> Callable[[], str]:
    """Bind what observes. Call it before student code is imported.

    With `refuses`, also close the classes that the programs file refuses: its `REFUSED` maps classes that would do the
    exercise's work to what the student is to write instead.
    With `hidden`, who imports what observes from now on gets a copy, which observes nothing. Not where ranks start
    processes: these find the program's functions by their module's name.

    Returns: a function that returns the first name that was changed since, "" if none was.
    """
    for cls, instead in getattr(program, "REFUSED", {}).items() if refuses else ():
        cls.__init__ = _refusal(cls.__name__, instead)
    # Whoever looks at an object writes its reference count, and so copies a page of the zygote's: look at few of them.
    new = list(islice(reversed(sys.modules), len(sys.modules) - _prepared.num_modules))
    own = [module for module in _observers(new) if module is not program]
    own += [] if program is None else [program]
    used = () if program is None else _observers_of(program)
    bound = (tuple(_bindings_of(own)), *(_prepared.of_observer[name] for name in used), _prepared.always)
    if hidden:
        _hide([*_prepared.modules, *own])
    return lambda: next(filter(None, map(_first_changed, bound)), "")


def _observers_of(module: ModuleType) -> set[str]:
    """Return the names of the observers that a module uses, and that these use."""
    things = vars(module).values()
    direct = {
        thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) for thing in things
    }
    found = {name for name in OBSERVERS if name in direct and name in _prepared.of_observer and name != module.__name__}
    inner = (_observers_of(one) for one in _prepared.modules if one.__name__ in found)
    return found.union(*inner)


def _first_changed(bound: Bound) -> str:
    for place, namespace, name, thing, code in bound:
        if namespace.get(name) is not thing or (code is not None and _code(thing) != code):
            return f"{place}.{name}"
    return ""


def _observers(names: Iterable[str]) -> list[ModuleType]:
    return [sys.modules[name] for name in names if _is_ours(name)]


def _hide(modules: Sequence[ModuleType]) -> None:
    for module in modules:
        name = module.__name__
        sys.modules.pop(name, None)
        package, _, short = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(short, None)


def _is_ours(name: str) -> bool:
    return any(name == ours or name.startswith(f"{ours}.") for ours in OURS)


class LibraryClassError(NotImplementedError):
    """Student code asks a library for what it should write itself.

    No program takes it for the answer to a call, as it may do with other errors.
    """


def _refusal(name: str, instead: str) -> Callable[..., NoReturn]:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise LibraryClassError(f"torch's own {name} may not do this exercise's work. Write {instead}.")

    return refuse


def _bindings_of(ours: Sequence[ModuleType]) -> Iterator[_Binding]:
    """Yield all that `ours` define or import, and of `WATCHED` what they use: to compare all of torch takes 10 ms."""
    used = {name for module in ours for name in _names_used(module.__name__, vars(module))}
    found = [binding for module in ours for binding in _in_module(module, vars(module))]
    found += [binding for name in WATCHED if name in sys.modules for binding in _in_module(sys.modules[name], used)]
    yield from found
    yield from (one for module in ours for one in _builtins_in(module, _names_used(module.__name__, vars(module))))
    modules = {module.__name__ for module in ours}
    for cls in {binding.thing for binding in found if isinstance(binding.thing, type)}:
        if cls.__module__ in modules:
            yield from _in_class(cls, {*vars(cls), *used})
        elif cls.__module__.partition(".")[0] == "torch" and not cls.__module__.startswith(WRAP_THEMSELVES):
            yield from _in_class(cls, used | {name for name in vars(cls) if name.startswith("__")})


def _in_module(module: ModuleType, names: Iterable[str]) -> Iterator[_Binding]:
    namespace = vars(module)
    for name in names:
        if isinstance(thing := namespace.get(name), BOUND):
            yield _Binding(module.__name__, namespace, name, thing, _code(thing))


def _builtins_in(module: ModuleType, names: Iterable[str]) -> Iterator[_Binding]:
    """Yield what the functions of a module take from the builtins, and what a global of that name would cover."""
    namespace = vars(module)
    for name in names:
        if name not in namespace and isinstance(vars(builtins).get(name), BOUND):
            yield _Binding(module.__name__, namespace, name, None, None)


def _in_class(cls: type, names: Iterable[str]) -> Iterator[_Binding]:
    """Yield the bindings of a class; None for what it inherits, and what a new binding of its own would cover."""
    namespace = vars(cls)
    for name in names:
        thing = namespace.get(name)
        if isinstance(thing, BOUND) or (name not in namespace and hasattr(cls, name)):
            yield _Binding(cls.__name__, namespace, name, thing, _code(thing))


def _names_used(module: str, namespace: Namespace) -> Iterator[str]:
    """Yield the names that the functions defined in a module use, and the methods of its classes."""
    for thing in namespace.values():
        if getattr(thing, "__module__", None) == module:
            methods = vars(thing).values() if isinstance(thing, type) else (thing,)
            for function in methods:
                if isinstance(function, FunctionType):
                    yield from _names_in(function.__code__)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


def _code(thing: object) -> object:
    return (thing.__code__, thing.__defaults__, thing.__kwdefaults__) if isinstance(thing, FunctionType) else None
