"""The hash of what code means: which files are in it, and what changes it."""

import modulefinder
import os
import random
import sys
from pathlib import Path

import pytest

from bench import topk
from bench.code import check_libraries, code_hash, description_hash, module_hash
from bench.errors import PluginError
from bench.plugins import MODELS, Plugin


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
    """A folder of installed packages: a plugin, the kit that it requires, and a package of no concern."""
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


def test_another_class_of_the_same_module_is_another_code(site):
    one, other = (Plugin("k", MODELS, f"kplug:{name}", "k-plug", "1") for name in ("Model", "Other"))
    assert code_hash(one) != code_hash(other)
    assert description_hash(one) != description_hash(other)


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


def test_a_named_library_that_is_not_installed_is_an_error(site):
    requires = ("recsys-bench", "kit-x")
    distribution(site, "kplug-x", requires, entry_points="[bench.code]\nkother-x = kother\n")
    check_libraries(PLUGIN)
    distribution(site, "kplug-x", requires, entry_points="[bench.code]\nkother-x = kother\nsklearn = sklearn\n")
    with pytest.raises(PluginError, match=r"^kplug-x names 'sklearn' in the entry-point group bench\.code, and no"):
        check_libraries(PLUGIN)


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


def above(package, levels):
    """``a.b.c`` two levels up is ``a.``; nothing is left at the top."""
    parts = package.split(".")
    return "".join(f"{part}." for part in parts[: max(0, len(parts) - levels)])


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
            up = next(i for i in range(5) if f"{parent}.".startswith(above(package, i)))
            dots = "." * (up + 1)
            forms = [f"import {other}", f"import {other} as x"]
            if parent:
                rest = f"{parent}."[len(above(package, up)) :].rstrip(".")
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
