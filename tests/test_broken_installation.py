"""An installation that broke is named with the way out, by every command, and the doctor goes on as far as it can."""

import json
import os
import re
import subprocess
import sys

import pytest

from bench.installation import broken_in, satisfies

BREAKS = {
    "numpy": "raise ImportError('numpy.core.multiarray failed to import')",
    "pyarrow": "raise AttributeError('_ARRAY_API not found')",
    "pandas": "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility')",
    "pydantic": "raise ImportError('no pydantic_core')",
    "yaml": "raise ModuleNotFoundError(\"No module named 'yaml'\")",
    "click": "raise ModuleNotFoundError(\"No module named 'click'\")",
    "rich": "raise SyntaxError('half a file')",
}
COMMANDS = [
    ("run", "--models", "pop", "--dataset", "tiny"),
    ("leaderboard",),
    ("models", "list"),
]
ALONE = "import sys; from bench.cli import main; main()"


@pytest.fixture
def broken(tmp_path):
    """A folder that comes first on the path, with a package in the place of a sound one."""

    def make(package, source, version=None):
        site = tmp_path / "broken"
        (site / package).mkdir(parents=True)
        (site / package / "__init__.py").write_text(source)
        if version:
            info = site / f"{package}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        return {"PYTHONPATH": str(site)}

    return make


@pytest.fixture
def start(start_bench, tmp_path):
    """The command line in another process, in an empty folder; nothing is imported before ``bench.cli`` is."""

    def call(*words, environment):
        words = [sys.executable, "-c", ALONE, *words]
        environment = {**os.environ, **environment}
        return subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=120)

    return call


@pytest.mark.parametrize(
    "package", [name if name in ("numpy", "click") else pytest.param(name, marks=pytest.mark.slow) for name in BREAKS]
)
def test_command_names_the_package_and_the_way_out_in_one_line(start, broken, package):
    environment = broken(package, BREAKS[package])
    found = []
    for words in COMMANDS if package == "numpy" else COMMANDS[:1]:
        done = start(*words, environment=environment)
        assert "this should not happen" not in done.stderr
        assert "Traceback" not in done.stderr
        if "cannot be imported" in done.stderr:
            [line] = done.stderr.splitlines()
            assert line.startswith("error: ")
            assert f"{'pyyaml' if package == 'yaml' else package}: " in line
            assert "pip install --force-reinstall" in line
            assert done.returncode == 1
            found.append(words[0])
    assert found[0] == "run"


def test_package_that_is_too_old_is_named_with_both_versions(start, broken):
    environment = broken("pyarrow", BREAKS["pyarrow"], version="3.0.0")
    done = start(*COMMANDS[0], environment=environment)
    [line] = done.stderr.splitlines()
    assert line.startswith("error: pyarrow: 3.0.0 is installed where pyarrow>=16 is needed: ")


def test_what_the_requirements_require_is_checked_too(tmp_path):
    for name, lines in {"pydantic_core-0.1": "", "tabulate-99": "Requires-Dist: not-there-at-all>=2\n"}.items():
        info = tmp_path / f"{name}.dist-info"
        info.mkdir()
        package, version = name.split("-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{lines}")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    found = broken_in(sys.executable, {**os.environ, "PYTHONPATH": path})
    assert set(found) == {"pydantic-core", "not-there-at-all"}
    pinned = (
        r"0\.1 is installed where pydantic-core==\S+ is needed by pydantic: \S+ -m pip install --force-reinstall \S+"
    )
    assert re.fullmatch(pinned, found["pydantic-core"])
    assert found["not-there-at-all"].startswith("is not installed, and tabulate needs it: ")
    assert found["not-there-at-all"].endswith("'not-there-at-all>=2'")


@pytest.mark.parametrize("package", ["numpy", pytest.param("pyarrow", marks=pytest.mark.slow)])
def test_doctor_goes_on_as_far_as_it_can(start, broken, tmp_path, package):
    done = start("doctor", "--json", environment=broken(package, BREAKS[package]))
    assert done.returncode == 1
    lines = {line["what"]: line for line in json.loads(done.stdout)}
    assert lines[f"requirement {package}"]["state"] == "bad"
    assert "pip install --force-reinstall" in lines[f"requirement {package}"]["detail"]
    assert lines["python"]["state"] == "ok"
    assert {"confinement", "results", "machine", "plugins"} <= set(lines)


def test_doctor_tells_what_confines_workers(bench, monkeypatch):
    from bench.worker import confine

    monkeypatch.setattr(confine, "abi", lambda: 3)
    monkeypatch.setenv("BENCH_PLUGINS", "")
    [line] = [line for line in json.loads(bench("doctor", "--json").out) if line["what"] == "confinement"]
    assert line["state"] == "ok"
    assert line["detail"].endswith("Landlock ABI 3: files")  # TCP is held from 4 on, signals from 6 on


def test_doctor_says_so_where_nothing_confines_them(bench, monkeypatch):
    from bench.worker import confine

    def none():
        raise confine.Unconfined("the kernel has no Landlock")

    monkeypatch.setattr(confine, "abi", none)
    monkeypatch.setenv("BENCH_PLUGINS", "")
    [line] = [line for line in json.loads(bench("doctor", "--json").out) if line["what"] == "confinement"]
    assert line["state"] == "--"
    assert "unconfined" in line["detail"]
    assert "no Landlock" in line["detail"]


def test_plugin_whose_package_is_gone_is_a_line_among_the_others(start_bench, tmp_path):
    info = tmp_path / "site" / "package_missing-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: package-missing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[bench.models]\nbrk = not_there_at_all\ndeep = bench_classic.nowhere:X\n[bench.plugins]\nlost = not_there.x\n"
    )
    environment = {"PYTHONPATH": str(info.parent), "BENCH_PLUGINS": "package-missing,recsys-bench-classic"}

    def call(*words):
        process = start_bench(*words, environment=environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    status, out, _ = call("doctor", "--json", "--results", tmp_path)
    lines = {line["what"]: line for line in json.loads(out)}
    assert status == 1
    for name in ("brk", "deep", "lost"):
        assert lines[f"plugin {name}"]["state"] == "bad"
        assert "install" in lines[f"plugin {name}"]["detail"]
    assert lines["plugin ease"]["state"] == "ok"
    status, out, _ = call("models", "list")
    [line] = [line for line in out.splitlines() if line.startswith("brk ")]
    assert status == 0
    assert "the package not_there_at_all of package-missing is not there: install package-missing again" in line
    status, _, err = call("run", "--models", "pop", "--dataset", "tiny", "--results", tmp_path)
    assert status == 0
    assert "plugin 'lost'" in err or "package not_there of package-missing" in err
    status, _, err = call("run", "--models", "brk", "--dataset", "tiny", "--results", tmp_path)
    assert status == 1
    assert err.splitlines()[-1].startswith("error: the package not_there_at_all of package-missing is not there")


@pytest.mark.parametrize(
    ("version", "requirement", "enough"),
    [
        ("1.26.4", "numpy>=1.26", True),
        ("1.9", "numpy>=1.26", False),
        ("2.0.0rc1", "numpy>=1.26", True),
        ("16", "pyarrow>=16.0.0", True),
        ("15.9.9", "pyarrow>=16", False),
        ("3", "any", True),
    ],
)
def test_versions_are_compared_as_numbers(version, requirement, enough):
    assert satisfies(version, requirement) == enough
