"""The hash of what code means: what changes it, what does not, and that it is the same on every Python."""

import ast
import modulefinder
import os
import random
import sys
from pathlib import Path

import pytest

from bench import topk
from bench.code import code_hash, description_hash, module_hash
from bench.errors import PluginError
from bench.plugins import MODELS, Plugin
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


def distribution(site, name, requires=("recsys-bench",), version="1", entry_points="", record=None):
    """Metadata as an installer leaves it."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (folder / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]) + "\n")
    (folder / "entry_points.txt").write_text(entry_points)
    if record is not None:
        (folder / "RECORD").write_text("".join(f"{path},,\n" for path in record))
    return folder


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        stamp = write.time = getattr(write, "time", 10**9) + 1
        os.utime(path, (stamp, stamp))


PACKAGE = {
    "kplug/__init__.py": "from kplug.model import Model\n",
    "kplug/model.py": "import numpy\nfrom kkit import losses\n\ndef f():\n    from . import late\n",
    "kplug/late.py": "import importlib\nX = importlib.import_module('kplug.named')\n",
    "kplug/named.py": "Y = importlib.import_module('.relative', package='kplug')\n",
    "kplug/relative.py": "Z = 1\n",
    "kplug/unrelated.py": "W = 1\n",
    "kplug/data/words.txt": "one\n",
    "kkit/__init__.py": "",
    "kkit/losses.py": "from .base import *\n",
    "kkit/base.py": "A = 1\n",
    "kkit/table.json": "{}\n",
    "kother/__init__.py": "B = 1\n",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages: a plugin, the kit that it requires, and a package that has nothing to do with it."""
    folder = tmp_path / "site"
    write(folder, PACKAGE)
    requires = ("recsys-bench", "Kit_X>=1", "kother-x", "numpy", "not-there", "extra-x; extra == 'all'")
    names = "[bench.models]\nk = kplug:Model\n"
    record = [name for name in PACKAGE if name.startswith("kplug")]
    distribution(folder, "kplug-x", requires, entry_points=names, record=record)
    distribution(folder, "kit-x", record=[name for name in PACKAGE if name.startswith("kkit")])
    distribution(folder, "kother-x", requires=(), record=["kother/__init__.py"])
    monkeypatch.syspath_prepend(str(folder))
    return folder


PLUGIN = Plugin("k", MODELS, "kplug:Model", "kplug-x", "1")


@pytest.mark.parametrize(
    "changed",
    [
        {"kplug/model.py": PACKAGE["kplug/model.py"] + "K = 2\n"},
        {"kplug/__init__.py": "from kplug.model import Model as Model\n"},
        {"kplug/late.py": PACKAGE["kplug/late.py"] + "K = 2\n"},
        {"kplug/named.py": PACKAGE["kplug/named.py"] + "K = 2\n"},
        {"kplug/relative.py": "Z = 2\n"},
        {"kplug/data/words.txt": "two\n"},
        {"kplug/data/more.txt": ""},
        {"kplug/fast.cpython-311-x86_64-linux-gnu.so": "binary"},
        {"kplug/prompt.md": "You are a recommender."},
        {"kkit/losses.py": PACKAGE["kkit/losses.py"] + "K = 2\n"},
        {"kkit/base.py": "A = 2\n"},
        {"kkit/table.json": "[]\n"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_change_of_what_is_used_is_another_code(site, changed):
    before = code_hash(PLUGIN)
    write(site, changed)
    assert code_hash(PLUGIN) != before
    write(site, {name: PACKAGE[name] for name in changed if name in PACKAGE})
    for name in changed.keys() - PACKAGE.keys():
        (site / name).unlink()
    assert code_hash(PLUGIN) == before


@pytest.mark.parametrize(
    "changed",
    [
        {"kplug/model.py": '"""Says,"""\n' + PACKAGE["kplug/model.py"].replace("def f():", "def f():  # f\n    'f'")},
        {"kplug/unrelated.py": "W = 2\n"},
        {"kplug/unrelated.py": "no python at all ("},
        {"kplug/new.py": "V = 1\n"},
        {"kplug/_version.py": "__version__ = '2'\nlong = 2\n"},
        {"kplug/py.typed": "partial\n"},
        {"kplug/README.md": "Read.\n"},
        {"kplug/model.pyi": "x: int\n"},
        {"kplug/__pycache__/model.cpython-311.pyc": "b"},
        {"kplug/.DS_Store": "x"},
        {"kother/__init__.py": "B = 2\n"},
        {"kunknown/__init__.py": ""},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_other_changes_are_the_same_code(site, changed):
    before = code_hash(PLUGIN)
    write(site, changed)
    assert code_hash(PLUGIN) == before


def test_description_is_known_by_bytes(site):
    before, code = description_hash(PLUGIN), code_hash(PLUGIN)
    assert before == description_hash(PLUGIN)
    write(site, {"kkit/base.py": "A = 1  # one\n"})
    assert description_hash(PLUGIN) != before
    assert code_hash(PLUGIN) == code


def test_version_of_the_plugin_and_of_the_kit_is_not_in_it(site):
    before = code_hash(PLUGIN)
    for name in ("kplug-x", "kit-x"):
        text = (site / f"{name.replace('-', '_')}-1.dist-info" / "METADATA").read_text()
        (site / f"{name.replace('-', '_')}-1.dist-info" / "METADATA").write_text(text.replace(": 1\n", ": 2\n"))
    assert code_hash(PLUGIN) == before


def test_a_kit_counts_only_where_it_is_required(site):
    before = code_hash(PLUGIN)
    distribution(site, "kplug-x", record=[name for name in PACKAGE if name.startswith("kplug")])
    without = code_hash(PLUGIN)
    assert without != before
    write(site, {"kkit/base.py": "A = 2\n"})
    assert code_hash(PLUGIN) == without


def test_kit_of_a_kit_counts(site):
    write(site, {"kkit/base.py": "import kdeep\n", "kdeep.py": "D = 1\n"})
    distribution(site, "kit-x", ("recsys-bench", "deep.x"), record=[n for n in PACKAGE if n.startswith("kkit")])
    distribution(site, "deep-x", record=["kdeep.py"])
    before = code_hash(PLUGIN)
    write(site, {"kdeep.py": "D = 2\n"})
    assert code_hash(PLUGIN) != before


def test_libraries_that_the_plugin_names_count_by_version(site):
    before = code_hash(PLUGIN)
    record = [name for name in PACKAGE if name.startswith("kplug")]
    requires = ("recsys-bench", "kit-x")
    distribution(site, "kplug-x", requires, record=record, entry_points="[bench.code]\nkother-x = kother\n")
    named = code_hash(PLUGIN)
    text = (site / "kother_x-1.dist-info" / "METADATA").read_text()
    (site / "kother_x-1.dist-info" / "METADATA").write_text(text.replace("Version: 1", "Version: 1.1"))
    newer = code_hash(PLUGIN)
    distribution(site, "kplug-x", requires, record=record, entry_points="[bench.code]\ngone = kother\n")
    assert len({before, named, newer, code_hash(PLUGIN)}) == 4


def test_version_of_top_k_counts_for_cells_and_not_for_descriptions(site, monkeypatch):
    before = code_hash(PLUGIN), description_hash(PLUGIN)
    monkeypatch.setattr(topk, "VERSION", topk.VERSION + 1)
    after = code_hash(PLUGIN), description_hash(PLUGIN)
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize("form", ["record", "editable", "source layout", "bare", "not installed"])
def test_code_is_the_same_however_it_is_installed(tmp_path, monkeypatch, form):
    files = {name: text for name, text in PACKAGE.items() if "kother" not in name}
    hashes = []
    for way in ("record", form):
        root = tmp_path / f"{form} {way} {len(hashes)}"
        code = root / "project" / "src" if way == "source layout" else root / "project"
        write(code, files)
        site = root / "project" / "env" / "site-packages" if way in ("editable", "source layout") else code
        for name, package in (("kplug-x", "kplug"), ("kit-x", "kkit")):
            requires = ("recsys-bench", "kit-x") if name == "kplug-x" else ("recsys-bench",)
            own = [file for file in files if file.startswith(package)] if way == "record" else None
            if way == "not installed" and name == "kplug-x":
                continue
            folder = distribution(site, name, requires, entry_points=f"[bench.models]\nx = {package}:X\n", record=own)
            if way in ("editable", "source layout"):
                url = (root / "project").as_uri()
                (folder / "direct_url.json").write_text(f'{{"dir_info": {{"editable": true}}, "url": "{url}"}}')
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(site))
            patch.syspath_prepend(str(code))
            hashes.append(code_hash(PLUGIN))
    assert (hashes[0] == hashes[1]) == (form != "not installed")  # no metadata, no word of the kit


def test_environment_within_an_editable_project_is_not_its_code(tmp_path, monkeypatch):
    site = tmp_path / ".venv" / "lib" / "site-packages"
    write(tmp_path, {"kplug/__init__.py": "import kother\n"})
    write(site, {"kother/__init__.py": "B = 1\n"})
    folder = distribution(site, "kplug-x")
    (folder / "direct_url.json").write_text(f'{{"dir_info": {{"editable": true}}, "url": "{tmp_path.as_uri()}"}}')
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_hash(PLUGIN)
    write(site, {"kother/__init__.py": "B = 2\n"})
    assert code_hash(PLUGIN) == before


def test_module_alone_is_a_plugin_and_its_neighbours_are_not(site):
    write(site, {"kalone.py": "T = 1\n", "big.bin": "x"})
    distribution(site, "alone-x", record=["kalone.py"])
    plugin = Plugin("a", MODELS, "kalone:T", "alone-x", "1")
    before = code_hash(plugin)
    write(site, {"big.bin": "y"})
    assert code_hash(plugin) == before
    write(site, {"kalone.py": "T = 2\n"})
    assert code_hash(plugin) != before


def test_namespace_is_not_a_package_of_the_plugin(site):
    write(site, {"kspace/own/__init__.py": "from kspace.other import x", "kspace/other/__init__.py": "x = 1"})
    write(site, {"kspace/other/data.txt": "1"})
    distribution(site, "space-x", record=["kspace/own/__init__.py"])
    plugin = Plugin("s", MODELS, "kspace.own:X", "space-x", "1")
    before = code_hash(plugin)
    write(site, {"kspace/other/__init__.py": "x = 2", "kspace/other/data.txt": "2"})
    assert code_hash(plugin) == before
    write(site, {"kspace/own/data.txt": "2"})
    assert code_hash(plugin) != before


def test_nothing_is_imported(site):
    write(site, {"kplug/model.py": "raise SystemExit\n"})
    before = set(sys.modules)
    code_hash(PLUGIN)
    assert set(sys.modules) - before == set()


@pytest.mark.parametrize("module", ["kgone", "kplug.gone", "kgone.deep"])
def test_package_that_is_not_there_is_one_line(site, module):
    with pytest.raises(PluginError, match=rf"plugin 'k' of kplug-x: its module {module} is not there") as caught:
        code_hash(Plugin("k", MODELS, f"{module}:Model", "kplug-x", "1"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["def (\n", "x = '\0'\n", "# coding: no-such\n"])
def test_file_that_is_no_python_is_one_line(site, text):
    write(site, {"kkit/base.py": text})
    with pytest.raises(PluginError, match=r"plugin 'k' of kplug-x: .*base.py.* cannot be parsed") as caught:
        code_hash(PLUGIN)
    assert "\n" not in str(caught.value)


def random_package(folder, rng, n=30):
    """Modules in a tree of packages that import each other at random, in all forms that there are."""
    packages = ["krand", "krand.a", "krand.b", "krand.a.c"]
    modules = packages + [f"{rng.choice(packages)}.m{i}" for i in range(n)]
    files = {}
    for name in modules:
        lines = []
        for other in rng.sample(modules, rng.choice([0, 0, 1, 2])):
            parent, _, last = other.rpartition(".")
            package = name if name in packages else name.rpartition(".")[0]
            common = os.path.commonprefix([parent.split("."), package.split(".")])
            dots = "." * (len(package.split(".")) - len(common) + 1)
            forms = [f"import {other}", f"import {other} as x"]
            if parent:
                rest = ".".join(parent.split(".")[len(common) :])
                forms += [f"from {parent} import {last}", f"from {dots}{rest} import {last} as y"]
            lines.append(rng.choice(forms))
            if rng.random() < 0.3:
                lines[-1] = f"def f():\n    {lines[-1]}"
        path = "/".join(name.split("."))
        files[f"{path}/__init__.py" if name in packages else f"{path}.py"] = "\n".join([*lines, "K = 0"]) + "\n"
    write(folder, files)
    return modules, files


@pytest.mark.parametrize("seed", range(12))
def test_reached_modules_are_those_that_modulefinder_finds(tmp_path, monkeypatch, seed):
    """The standard library's ``modulefinder`` reads bytecode: another way to the same answer."""
    rng = random.Random(seed)
    modules, files = random_package(tmp_path, rng)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = rng.choice(modules)
    script = tmp_path / "script.py"
    script.write_text(f"import {entry}\n")
    finder = modulefinder.ModuleFinder([str(tmp_path)])
    finder.run_script(str(script))
    expected = {
        Path(m.__file__).relative_to(tmp_path).as_posix() for n, m in finder.modules.items() if n[:5] == "krand"
    }
    before, found = module_hash(entry, "krand"), set()
    for name, text in files.items():
        write(tmp_path, {name: text.replace("K = 0", "K = 1")})
        if module_hash(entry, "krand") != before:
            found.add(name)
        write(tmp_path, {name: text})
    assert found == expected
    assert module_hash(entry, "krand") == before


def test_hash_of_a_core_module_stays_within_the_package_that_is_named(tmp_path, monkeypatch):
    write(tmp_path, {"kcore/__init__.py": "", "kcore/out.py": "O = 1", "kcore/data/__init__.py": ""})
    write(tmp_path, {"kcore/data/one.py": "import kcore.out\nfrom .two import T", "kcore/data/two.py": "T = 1"})
    monkeypatch.syspath_prepend(str(tmp_path))
    before = module_hash("kcore.data.one", "kcore.data")
    write(tmp_path, {"kcore/out.py": "O = 2", "kcore/__init__.py": "I = 1"})
    assert module_hash("kcore.data.one", "kcore.data") == before
    write(tmp_path, {"kcore/data/two.py": "T = 2"})
    assert module_hash("kcore.data.one", "kcore.data") != before
    with pytest.raises(PluginError, match=r"the module kcore.data.none is not there"):
        module_hash("kcore.data.none", "kcore.data")
