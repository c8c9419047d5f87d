"""What a person should read in a submission: lines that do what no solution needs. The files are read, never run.

A finding is no proof, and costs no point. Its text holds names of the file that it is about, so it is for staff alone.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from grader.course.catalog import Chapter
from grader.harness.inside.bindings import OBSERVERS

MAX_BYTES = 64 << 10  # parsing takes up to the square of it
MAX_FINDINGS = 20
"""Of one file."""

PLAIN_MODULES = frozenset(
    (
        *("__future__", "abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "decimal", "enum"),
        *("fractions", "functools", "heapq", "itertools", "logging", "math", "numbers", "operator", "random", "re"),
        *("statistics", "string", "textwrap", "time", "typing", "warnings", "torch", "course_env", "numpy"),
    )
)
"""Modules that any chapter may use."""

_REACHES = {
    "a way to other people's objects": ("gc", "ctypes", "inspect", "importlib", "builtins", "marshal", "dis"),
    "code or names made at run time": ("__import__", "exec", "eval", "compile", "globals", "vars", "breakpoint"),
    "a frame": (
        *("_getframe", "_current_frames", "currentframe", "f_back", "f_locals", "f_globals"),
        *("tb_frame", "gi_frame", "cr_frame"),
    ),
    "a hook of the interpreter": ("settrace", "setprofile", "addaudithook", "excepthook"),
    "the inside of a function": ("__globals__", "__builtins__", "__code__", "__closure__", "cell_contents"),
    "the inside of a class": ("__subclasses__", "__mro__", "__bases__"),
    "the table of hooks": (
        *("_post_accumulate_grad_hooks", "_forward_pre_hooks", "_forward_hooks", "_backward_hooks"),
        *("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"),
    ),
    "what a library keeps for itself": ("_world", "_exit"),
}
TELLING_NAMES = {name: what for what, names in _REACHES.items() for name in names}
"""Names that no solution needs, and what each of them reaches."""

TELLING_TEXTS = ("grader.", "programs_", "/proc", *OBSERVERS)
OF_THE_COURSE = ("grader", "programs", "references", "test_")
"""What the names of modules begin with that judge: the harness, rank programs, baselines and tests."""


class LineToRead(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line that a person should read."""

    file: str
    line: int
    what: str


def lines_to_read(chapter: Chapter, contents: Mapping[str, bytes]) -> tuple[LineToRead, ...]:
    """Return what a person should read in a chapter's files, each file's lines in their order."""
    return tuple(
        LineToRead(file=file, line=line, what=what)
        for file, content in sorted(contents.items())
        for line, what in _file_findings(chapter, content)
    )


def _file_findings(chapter: Chapter, content: bytes) -> list[tuple[int, str]]:
    if len(content) > MAX_BYTES:
        return [(1, f"the file has {len(content) >> 10} KiB, too many for a solution; nothing of it was read")]
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return []  # nobody can import it, and its page says so
    except (RecursionError, MemoryError):
        return [(1, "the file is nested deeper than people write; nothing of it was read")]
    docstrings = frozenset(id(text) for text in _docstrings(tree))
    reader = _Reader(chapter=chapter, imported=_imported(tree), docstrings=docstrings)
    found = sorted({finding for node in ast.walk(tree) for finding in reader.findings(node)})
    more = len(found) - MAX_FINDINGS
    return found if more <= 0 else [*found[:MAX_FINDINGS], (found[MAX_FINDINGS][0], f"from here on, {more} more")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads one file of a chapter, node by node."""

    chapter: Chapter
    imported: frozenset[str]
    """The names that its imports bind: modules, classes and functions of other people."""

    docstrings: frozenset[int]
    """The ids of the nodes that are docstrings."""

    def findings(self, node: ast.AST) -> Iterator[tuple[int, str]]:
        """Yield what a node itself does, without those inside it."""
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from self._of_import(node)
            case ast.Name(id=name):
                yield from _of_name(node.lineno, name)
            case ast.Attribute():
                yield from self._of_attribute(node)
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "delattr" as function), args=[target, name, *_]):
                yield from self._of_dynamic(node.lineno, function, target, name)
            case ast.Constant(value=str() as text) if id(node) not in self.docstrings:
                yield from _of_text(node.lineno, text)

    def _of_import(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str]]:
        names = [alias.name for alias in node.names]
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
        inner = [f"{module}.{name}" for module in modules for name in names] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            top = module.partition(".")[0]
            if top not in PLAIN_MODULES and top not in self.chapter.imports and f"{top}.py" not in self.chapter.files:
                yield node.lineno, f"imports {module}, for which this chapter has no use"
        for module in (*modules, *inner):
            if module in OBSERVERS or module.startswith(OF_THE_COURSE):
                yield node.lineno, f"imports {module}, which observes or judges it"
        for name in names:
            yield from _of_name(node.lineno, name)

    def _of_attribute(self, node: ast.Attribute) -> Iterator[tuple[int, str]]:
        if node.attr == "modules" and _root(node.value) == "sys":
            yield node.lineno, "uses sys.modules, the interpreter's modules"
        yield from _of_name(node.lineno, node.attr)
        if not isinstance(node.ctx, ast.Load):
            yield from self._of_setting(node.lineno, node.value, node.attr)

    def _of_dynamic(self, line: int, function: str, target: ast.expr, name: ast.expr) -> Iterator[tuple[int, str]]:
        if isinstance(name, ast.Constant):
            if function != "getattr":
                yield from self._of_setting(line, target, str(name.value))
        elif function != "getattr" or _root(target) in self.imported:
            yield line, f"calls {function}() with a name that it computes"

    def _of_setting(self, line: int, target: ast.expr, name: str) -> Iterator[tuple[int, str]]:
        root = _root(target)
        if root in self.imported and (root, name) != ("os", "environ"):
            yield line, f"sets {name} of {root}, which this file imports"


def _of_name(line: int, name: str) -> Iterator[tuple[int, str]]:
    if name in TELLING_NAMES:
        yield line, f"uses {name}, {TELLING_NAMES[name]}"


def _of_text(line: int, text: str) -> Iterator[tuple[int, str]]:
    word = text.strip()
    if word in TELLING_NAMES:
        yield line, f"has the text {word!r}, {TELLING_NAMES[word]}"
    elif begun := next((start for start in TELLING_TEXTS if word.startswith(start)), ""):
        yield line, f"has a text that begins with {begun!r}"


def _imported(tree: ast.Module) -> frozenset[str]:
    """Return the names that imports bind: modules, classes and functions of other people."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return frozenset((alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names)


def _root(node: ast.expr) -> str:
    """Return the name at the left end of `a.b.c`, "" if there is another expression."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as text), *_]:
                    yield text
