"""What a Python file means: a hash of its syntax tree, and the modules that it imports.

The tree is written by a serialiser of our own, since ``ast.dump`` differs between Python versions. The hash is the same
on all of them for a source that all can parse:

- Left out are comments, positions, ``ctx``, ``kind`` (``u"x"`` is ``"x"``), type comments, whether an import is lazy,
  fields that are ``None`` or an empty list (so that fields which later versions add, such as ``type_params``, change
  nothing where they are not used), docstrings and other statements that are a bare constant, ``pass``, and the version
  of the module (``__version__ = "1.0"`` and what ``setuptools-scm`` or ``hatch-vcs`` write beside it).
- Fields come in alphabetical order, texts with their length, integers in hexadecimal (``repr`` has a limit of digits),
  texts as UTF-8 (``repr`` depends on Python's Unicode tables).
- In f-strings neighbouring constants are joined and empty ones and empty format specs dropped: the parser of Python
  3.12 cuts them in other places than that of 3.11.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

_SKIPPED = frozenset({"ctx", "is_lazy", "kind", "type_comment", "type_ignores"})
_VERSIONS = frozenset({"__version__", "__version_info__", "__version_tuple__", "__commit_id__"})
_BLOCKS = frozenset({"body", "orelse", "finalbody"})
_IMPORTING = frozenset({ast.Import, ast.ImportFrom, ast.Call})
_IMPORTERS = frozenset({"import_module", "__import__"})


class Import(NamedTuple):
    """One statement or call that imports."""

    level: int
    """Number of leading dots; 0 if the name is absolute."""
    module: str
    """Dotted name behind the dots; may be empty."""
    names: tuple[str, ...] = ()
    """What is taken from the module, each perhaps a module of its own; ``*`` for all."""
    package: str = ""
    """What the dots are relative to, where it is not the importing module's own package."""


class Meaning(NamedTuple):
    """A file's syntax tree."""

    hash: str
    """SHA-256 in hex."""
    imports: tuple[Import, ...]
    """At any depth: in functions and behind conditions too. ``import_module`` counts if its argument is a literal."""


def meaning(source: bytes) -> Meaning:
    """Hash and imports of a Python source in its own encoding.

    Raises
    ------
    SyntaxError, ValueError, RecursionError
        If this Python cannot parse it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of stray backslashes
        tree = ast.parse(source)
    tree.body = [statement for statement in tree.body if not _states_version(statement)]
    imports: list[Import] = []
    digest = hashlib.sha256(_serialized(tree, imports).encode("utf-8", "surrogatepass"))
    return Meaning(digest.hexdigest(), tuple(imports))


def _serialized(tree: ast.AST, imports: list[Import]) -> str:
    """The tree as text; the imports in it are added to ``imports``."""
    words: list[str] = []
    stack: list[Any] = [tree]
    while stack:  # no recursion: a sum of a thousand terms is a tree a thousand deep
        item = stack.pop()
        kind = item.__class__
        if kind is str:
            words.append(item)
            continue
        if kind in _IMPORTING:
            imports.extend(_imports(item))
        words.append(f"{kind.__name__}(")
        stack.append(")")
        for name in _names(kind):
            value = getattr(item, name, None)
            if value.__class__ is list:
                if name in _BLOCKS:
                    value = [statement for statement in value if not _idle(statement)]
                elif kind is ast.JoinedStr:
                    value = _joined(value)
                if value:
                    stack.append("]")
                    stack.extend(v if isinstance(v, ast.AST) else _constant(v) for v in reversed(value))
                    stack.append(f"{name}=[")
            elif isinstance(value, ast.AST):
                if name != "format_spec" or not isinstance(value, ast.JoinedStr) or _joined(value.values):
                    stack.append(value)
                    stack.append(f"{name}=")
            elif value is not None or kind is ast.Constant:
                stack.append(f"{name}={_constant(value)}")
    return "".join(words)


def _constant(value: Any) -> str:
    if isinstance(value, str):
        return f"str{len(value)}:{value};"
    if isinstance(value, bytes):
        return f"bytes:{value.hex()};"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"int:{value:x};"
    return f"{type(value).__name__}:{value!r};"


@cache
def _names(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields that carry meaning, in the order in which they are put on the stack: the last one comes out first."""
    return tuple(sorted(set(kind._fields) - _SKIPPED, reverse=True))


def _idle(value: Any) -> bool:
    """Whether a statement does nothing: a docstring, the description under an attribute, ``...``, ``pass``."""
    return isinstance(value, ast.Pass) or (isinstance(value, ast.Expr) and isinstance(value.value, ast.Constant))


def _joined(values: list[Any]) -> list[Any]:
    """The values of an f-string, in a form that does not depend on where the parser cut its constants."""
    found: list[Any] = []
    text = ""
    for value in [*values, None]:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            text += value.value
            continue
        found += [part for part in (text and ast.Constant(text), value) if part]
        text = ""
    return found


def _states_version(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.AnnAssign):
        targets: list[ast.expr] = [statement.target]
    elif isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        return False
    return any(isinstance(target, ast.Name) and target.id in _VERSIONS for target in targets)


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(0, alias.name)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.level or 0, node.module or "", tuple(alias.name for alias in node.names))
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        if called in _IMPORTERS:
            named = {"name": 0, "package": 1} if called == "import_module" else {"name": 0}
            given = {name: node.args[at] for name, at in named.items() if at < len(node.args)}
            given |= {k.arg: k.value for k in node.keywords if k.arg in named}
            texts = {k: part.value for k, part in given.items() if isinstance(part, ast.Constant)}
            if isinstance(target := texts.get("name"), str):
                name, package = target.lstrip("."), texts.get("package")
                yield Import(len(target) - len(name), name, (), package if isinstance(package, str) else "")
