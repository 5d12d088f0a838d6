"""Install and remove plugins, beside the core or in environments of their own: with uv if it is there, else pip."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from bench.code import canonical, of_extra
from bench.errors import ConfigError, PluginError, UnknownName
from bench.files import remove, write_text
from bench.installation import broken_in
from bench.isolated import RECORD, Isolated, Record, environments, folder, interpreter_of, sites
from bench.plugins import MODELS, PLUGINS, TRACKERS, installed
from bench.runs.process import environment_of

_CORE = "recsys-bench"


def add_isolated(what: str, beside: Sequence[str] = (), editable: bool = False, python: str | None = None) -> Isolated:
    """Make an environment with the core and a plugin.

    Parameters
    ----------
    what
        A folder or wheel of the plugin, or a requirement such as ``name==1.2`` or ``name @ git+https://…``.
    beside
        More of these, for instance a version that the plugin does not name, ``numpy<2``.
    editable
        Whether ``what`` is a folder whose later changes count.
    python
        Interpreter of the environment; this one if None.

    Raises
    ------
    ConfigError
        If the plugin has no name, has an environment, brings no models, or there is no such interpreter.
    PluginError
        If something cannot be installed, or the core cannot run with it; nothing is left then.
    """
    name = distribution_name(what)
    target = folder() / name
    if (target / RECORD).exists():
        raise ConfigError(f"{name} has an environment in {target}: 'bench plugin remove {name}' first")
    words = _requirements([what, *beside], editable)
    base = shutil.which(python or sys.executable)
    if base is None:
        raise ConfigError(f"'{python}' is no Python interpreter: give a path or a command, such as python3.12")
    remove(target)  # one that was never finished
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _call([base, "-m", "venv", "--without-pip", str(target)], f"{base} cannot make an environment")
        with tempfile.TemporaryDirectory(prefix="bench-core-") as wheels:
            words = [*_core(Path(wheels)), *words]
            _install(str(interpreter_of(target)), words, what)
            record = Record(distribution=name, asked=[what, *beside], core=_core_folder(target))
            made = Isolated(target, record)
            if not (found := made.distribution(name)) or not found.entry_points.select(group=MODELS):
                raise ConfigError(
                    f"{what} brings no model (an entry point of the group {MODELS}), and only models can live in an "
                    "environment of their own: add it without --isolated"
                )
            if (trouble := _unusable(made)) and (older := _older(made, trouble)):
                _install(made.interpreter, [*words, *older], what)
                trouble = _unusable(made)
        if trouble:
            raise PluginError(
                f"{_told(made, trouble)}; add it with versions that go together: --with 'PACKAGE<VERSION'"
            )
        write_text(target / RECORD, record.model_dump_json(indent=2) + "\n")
    except BaseException:
        remove(target)
        raise
    return made


def add_beside(what: str, beside: Sequence[str] = (), editable: bool = False) -> str:
    """Install a plugin beside the core, with its packages as they are; the name of its distribution.

    Raises
    ------
    PluginError
        If it cannot be installed, for instance because it needs other versions.
    """
    name = distribution_name(what)
    needed = {canonical(line) for line in metadata.requires(_CORE) or () if not of_extra(line)}
    pins = [f"{dist.name}=={dist.version}\n" for dist in metadata.distributions() if canonical(dist.name) in needed]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.writelines(sorted(pins))
        constraints.flush()
        try:
            _install(sys.executable, ["-c", constraints.name, *_requirements([what, *beside], editable)], what)
        except PluginError as error:
            raise PluginError(f"{error}; if it needs other versions than the core has, add --isolated") from error
    importlib.invalidate_caches()
    return name


def remove_plugin(name: str) -> str:
    """Remove an environment, or uninstall a distribution that brings plugins; what was done, in words.

    Raises
    ------
    UnknownName
        If no plugin has that name.
    """
    name = canonical(name)
    for environment in environments():
        if environment.name == name:
            (environment.folder / RECORD).unlink()  # what is half removed is no environment
            remove(environment.folder)
            return f"removed {environment.folder}"
    plugins = [plugin for group in (MODELS, PLUGINS, TRACKERS) for plugin in installed(group)]
    if name not in {canonical(plugin.distribution) for plugin in plugins}:
        raise UnknownName("plugin", name, {plugin.distribution for plugin in plugins}, "'bench plugin list'")
    words = ["uninstall", *(["-y"] if shutil.which("uv") is None else []), name]
    _call(_installer(sys.executable, words), f"{name} cannot be uninstalled")
    return f"uninstalled {name}"


def lacks(environment: Isolated) -> str:
    """Which packages of the core cannot be used in an environment, in words; empty if all can."""
    return _told(environment, _unusable(environment))


def _unusable(environment: Isolated) -> dict[str, str]:
    return broken_in(environment.interpreter, environment_of(environment.interpreter))


def _told(environment: Isolated, unusable: Mapping[str, str]) -> str:
    """Without the command that would mend the core's own environment."""
    return "; ".join(f"{name} {what.partition(f': {environment.interpreter}')[0]}" for name, what in unusable.items())


def _older(environment: Isolated, unusable: Mapping[str, str]) -> list[str]:
    """Requirements of older releases: a package may need a newer one than others allow, and not say so."""
    there = {name: found for name in unusable if (found := environment.distribution(name))}
    return [f"{name}<{found.version.partition('.')[0]}" for name, found in there.items()]


def distribution_name(what: str) -> str:
    """The normalized name of the distribution in a folder or wheel, or of a requirement.

    Raises
    ------
    ConfigError
        If it has none.
    """
    path = Path(what)
    if what and path.is_dir():
        try:
            name = tomllib.loads((path / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
            return canonical(str(name))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{what} has no pyproject.toml with a name under [project]: is it a package?") from error
    if path.suffix == ".whl":
        return canonical(path.name.partition("-")[0])
    if not re.match(r"\w[\w.-]*\s*($|[\[<>=!~;@])", what):
        raise ConfigError(f"'{what}' is no folder, no wheel and no requirement, such as NAME or 'NAME @ git+https://…'")
    return canonical(what)


def _requirements(what: Sequence[str], editable: bool) -> list[str]:
    """As pip takes them; ``editable`` is for the first."""
    paths = [str(Path(one).resolve()) if Path(one).exists() else one for one in what]
    if editable and not Path(paths[0]).is_dir():
        raise ConfigError(f"--editable needs a folder, and {what[0]} is none")
    return [*(["-e"] if editable else []), *paths]


# Core -----------------------------------------------------------------------------------------------------------------


def _core(wheels: Path) -> list[str]:
    """What installs this core, and what 'bench plugin test' needs: its source tree if it runs from one, else a wheel of
    its installed files.
    """
    package = Path(__file__).parents[1]
    tree = package.parent
    here = ["-e", str(tree)] if (tree / "pyproject.toml").is_file() else [str(_wheel(package, wheels))]
    # Not as PATH[testing], of which pip 23 knows nothing where a plugin needs the core without it.
    needed = [line for line in metadata.requires(_CORE) or () if of_extra(line, "testing")]
    return [*here, *(line.partition(";")[0].strip() for line in needed)]


def _wheel(package: Path, wheels: Path) -> Path:
    """The installed core as a wheel, https://packaging.python.org/en/latest/specifications/binary-distribution-format."""
    core = metadata.distribution(_CORE)
    info = f"recsys_bench-{core.version}.dist-info"
    content = {f"bench/{path.relative_to(package).as_posix()}": path.read_bytes() for path in package.rglob("*")
               if path.is_file() and path.suffix != ".pyc"}  # fmt: skip
    content[f"{info}/METADATA"] = (core.read_text("METADATA") or "").encode()
    content[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    sums = {
        name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=") for name, data in content.items()
    }
    record = [f"{name},sha256={sums[name].decode()},{len(data)}\n" for name, data in content.items()]
    content[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"]).encode()
    target = wheels / f"recsys_bench-{core.version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return target


def _core_folder(environment: Path) -> str:
    own = Path(__file__).parents[1]
    copies = [Path(site, "bench") for site in sites(environment)]
    return str(next((copy for copy in copies if (copy / "__init__.py").is_file()), own))


# Installers -----------------------------------------------------------------------------------------------------------


def _install(interpreter: str, words: Sequence[str], what: str) -> None:
    with Console(stderr=True).status(f"installing {escape(what)}"):
        _call(_installer(interpreter, ["install", *words, "--quiet"]), f"{what} cannot be installed")


def _installer(interpreter: str, words: Sequence[str]) -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", words[0], "--python", interpreter, *words[1:]]
    if importlib.util.find_spec("pip") is None:
        raise ConfigError("neither uv nor pip is here: install one of them, https://docs.astral.sh/uv")
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter, *words]


def _call(words: Sequence[str], trouble: str) -> None:
    """Run a command, whose output goes to standard error."""
    # What PYTHONPATH leads to would be taken for installed.
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    status = subprocess.run(words, stdout=2, check=False, env=clean).returncode
    if status:
        raise PluginError(f"{trouble} (exit status {status}): the reason stands above")
