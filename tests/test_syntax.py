"""The hash of a syntax tree: what changes it, what does not, and that it is the same on every Python."""

import ast

import pytest

from bench.syntax import _serialized, meaning

GOLDEN = '''
# A comment.
"""Docstring."""
from __future__ import annotations

import os.path as path, sys
from typing import *
from . import near
from .. import far as away

__version__ = "1.2.3"
BIG, SMALL = 123456789012345678901234567890, -1_000
FLOATS = [1.5, 1e16, 1e999, 2j, .1]
TEXTS = ("plain", u"kind", b"\\x00\\xff", r"\\d", "é\\ud800\\U0001fae8", "joined" "text", None, True, ...)


@path.decorator(key=1)
class Model(Base, metaclass=Meta):
    """Docstring."""

    size: int = 64
    """Describes size."""
    name: str

    def fit(self, a, /, b: int = 1, *args: int, c, d=None, **options: str) -> dict[str, int]:
        """Docstring."""
        global BIG
        total = sum(x * y for x, y in zip(a, b) if x if y) + (lambda z, *w: z)(1)
        while total < 3 and not (a is None or b in c):
            total //= 2
            if total @ a:
                break
            else:
                continue
        else:
            pass
        try:
            del a[0], b.c
            assert total, f"total {total!r:>{b}} of {a:.2f}{{}}" f"{b=}"
        except* (ValueError, OSError) as error:
            raise RuntimeError from error
        finally:
            a[1:2, ::3], *rest = {**c, 1: 2}, {1, 2}, [*d], {k: v for k, v in d.items()}
        return {"a": a if b else ~c, "b": (n := 10) ** 2}

    async def run(self):
        async with self as s, s:
            async for x in s:
                yield await x
        nonlocal_ = [i async for i in s]

    def match(self, value):
        match value:
            case [1, "two", None, *rest] if rest:
                return rest
            case {"k": v, **more} | Model(size=v, name=more):
                return v
            case -1.5 | (1 + 2j) | _ as any_:
                return any_
        yield from value


OPERATORS = a - b * c / d % e ** f << g >> h | i ^ j & k @ l // m, +n, -o
COMPARED = [a > b >= c == d != e is f, g not in h <= i < j, k is not l, {m for m in n}]
for _ in a:
    def outer():
        x = 1
        def inner():
            nonlocal x
        with open(f"{x}" 'y' f'{x!a}') as file, inner(): inner()
        try: return
        except (A, B): raise
        except C as error: pass
        else: x += f"""{'a' if x else f"{x:%Y-%m-%d}"} {{x}} {x:{'>'}{10}} {x = !r:^20} \\n \\N{EM DASH} {x:}"""
'''
"""Every construct of Python 3.11."""

GOLDEN_HASH = "72de4bdc12532f35b7190f1371f3ca5b1838f2666ecfa3ed1df8dac4ac3515ea"
"""Seen on Python 3.11.7, 3.12.7, 3.13.2, 3.14.2 and 3.15.0rc1."""


def tree(source):
    return meaning(source.encode("utf-8", "surrogatepass")).hash


def test_hash_is_the_same_on_every_python():
    """A changed serialiser would re-key all cells: change this value only on purpose."""
    assert tree(GOLDEN) == GOLDEN_HASH


def test_every_construct_is_in_the_golden_file():
    every, todo = set(), [ast.mod, ast.stmt, ast.expr, ast.pattern, ast.operator, ast.unaryop, ast.cmpop, ast.boolop]
    while todo:
        kind = todo.pop()
        todo += [below for below in kind.__subclasses__() if below.__module__ == "ast"]
        every |= set() if kind.__subclasses__() else {kind.__name__}
    seen = {type(node).__name__ for node in ast.walk(ast.parse(GOLDEN))}
    outdated = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis", "Index", "ExtSlice", "Suite"}
    later = {"TypeAlias", "TemplateStr", "Interpolation"}
    assert every - seen - outdated - later == {"Expression", "FunctionType", "Interactive"}  # not of files


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A comment.", "# Another, 1 + 1 = 2"),
        ('"""Docstring."""\nfrom', '"""Another\n\nand longer."""\nfrom'),
        ('        """Docstring."""\n', ""),
        ('    """Docstring."""\n', "    '''Of the class'''\n"),
        ('    """Describes size."""\n', ""),
        ('"1.2.3"', '"4.5.6"'),
        ("-1_000", "-1000"),
        ('u"kind"', "'kind'"),
        ('"joined" "text"', '"joinedtext"'),
        ('r"\\d"', '"\\\\d"'),
        (".1]", "0.1,]"),
        ("            pass", "            pass; pass"),
        ("a if b else ~c", "(a if b else (~c))"),
        ('of {a:.2f}{{}}" f"{b=}"', 'of {a:.2f}{{}}{b=}"'),
        ("\n\n\n@path", "\n@path"),
        ("import os.path as path, sys", "import os.path as path, sys  # type: ignore"),
    ],
)
def test_what_means_the_same_has_the_same_hash(old, new):
    assert GOLDEN.count(old) >= 1
    assert tree(GOLDEN.replace(old, new)) == tree(GOLDEN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 64", "size: int = 65"),
        ("size: int = 64", "size: float = 64"),
        ("1.5, 1e16", "1.5000001, 1e16"),
        ("1_000", "1_000.0"),
        ("True, ...", "1, ..."),
        ('b"\\x00\\xff"', '"\\x00\\xff"'),
        ('("plain", u"kind"', '("plainkind"'),
        ("x * y", "y * x"),
        ("x * y", "x + y"),
        ("a, /, b", "a, b"),
        ("d=None", "d=()"),
        ("!r:>", "!s:>"),
        ("{a:.2f}", "{a:.3f}"),
        ("global BIG", "nonlocal BIG"),
        ("async for x in s", "for x in s"),
        ("break", "continue"),
        ("@path.decorator(key=1)\n", ""),
        ("as away", "as aside"),
        ("from . import near", "from .. import near"),
        ("except*", "except"),
        ("{**c, 1: 2}", "{1: 2, **c}"),
        ("i async for", "j async for"),
        ("finally:", "else:"),
    ],
)
def test_what_means_something_else_has_another_hash(old, new):
    assert GOLDEN.count(old) >= 1
    assert tree(GOLDEN.replace(old, new, 1)) != tree(GOLDEN)


@pytest.mark.parametrize(
    "given", ["'.b', package='a'", "name='.b', package='a'", "'.b', 'a'", "package='a', name='.b'"]
)
def test_a_module_that_is_imported_by_name_is_seen_however_it_is_given(given):
    [found] = meaning(f"importlib.import_module({given})".encode()).imports
    assert found == (1, "b", (), "a")


def test_function_without_a_body_is_the_same_with_and_without_a_docstring():
    assert len({tree(f"def f():\n    {body}\n") for body in ("pass", "...", "'says'", "'says'\n    pass")}) == 1


def test_generated_version_module_says_nothing_of_the_version():
    written = """
# file generated by setuptools-scm
TYPE_CHECKING = False
version: str
__version__: str
__version__ = version = '{0}.0'
__version_tuple__ = version_tuple = ({0}, 0)
__commit_id__ = commit_id = {0}
"""
    assert tree(written.format(1)) == tree(written.format(2))


def test_deep_trees_and_huge_numbers_have_a_hash():
    assert tree(" + ".join(["'a'"] * 900)) != tree(" + ".join(["'a'"] * 901))
    assert tree(f"x = 0x{'f' * 9000}") != tree(f"x = 0x{'f' * 8999}e")


class TestLaterPythons:
    """Trees as later parsers build them, made by hand since one Python alone runs the tests."""

    def serial(self, node):
        return _serialized(node, [])

    def test_unused_type_parameters_of_3_12(self):
        class FunctionDef(ast.FunctionDef):
            _fields = (*ast.FunctionDef._fields, "type_params")

        [own] = ast.parse("@d\ndef f(a) -> int:\n    return a").body
        later = FunctionDef(**{name: getattr(own, name) for name in ast.FunctionDef._fields}, type_params=[])
        assert self.serial(later) == self.serial(own)
        later.type_params = [ast.Name("T")]
        assert self.serial(later) != self.serial(own)

    def test_f_strings_of_3_12(self):
        """Its parser may cut constants elsewhere and leave empty ones, and an empty format spec."""
        x, y = ast.FormattedValue(ast.Name("x"), -1, None), ast.Name("y")
        own = ast.JoinedStr([ast.Constant("ab"), x, ast.FormattedValue(y, -1, None), ast.Constant("c")])
        spec = ast.JoinedStr([ast.Constant("")])
        parts = [ast.Constant("a"), ast.Constant("b"), x, ast.Constant(""), ast.FormattedValue(y, -1, spec)]
        assert self.serial(ast.JoinedStr([*parts, ast.Constant("c"), ast.Constant("")])) == self.serial(own)
        assert self.serial(ast.JoinedStr(parts)) != self.serial(own)

    def test_fields_without_a_value_of_3_13(self):
        """Its constructors fill in what is left out: empty lists, None and Load()."""
        own = ast.Call(ast.Name("f"), [ast.Constant(1)], [])
        later = ast.Call(ast.Name("f", ast.Load()), [ast.Constant(1, None)], [])
        assert self.serial(own) == self.serial(later)

    def test_lazy_imports_of_3_15(self):
        class Import(ast.Import):
            _fields = (*ast.Import._fields, "is_lazy")

        names = [ast.alias("numpy", None)]
        found = {self.serial(Import(names=names, is_lazy=lazy)) for lazy in (0, 1)}
        assert found == {self.serial(ast.Import(names))}

    def test_template_strings_of_3_14(self):
        class Interpolation(ast.expr):
            _fields = ("value", "str", "conversion", "format_spec")

        class TemplateStr(ast.expr):
            _fields = ("values",)

        def template(text):
            value = Interpolation(value=ast.Name("x"), str=text, conversion=-1, format_spec=None)
            return TemplateStr(values=[ast.Constant("a"), value])

        assert self.serial(template("x")) != self.serial(template("x "))
