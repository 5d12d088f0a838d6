"""Packages to begin a model from: the folders of ``bench/templates``, with another name."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

from bench.errors import ConfigError, plain
from bench.files import new_folder
from bench.plugins import installed

KINDS = {
    "score": ("package", "score"),
    "torch": ("package", "torchkit", "torch"),
    "sequence": ("package", "torchkit", "sequence"),
    "text": ("package", "torchkit", "text"),
}
"""The folders that a package is put together from; a file of a later one takes the place of an earlier one."""

_TEMPLATES = Path(__file__).parents[1] / "templates"
_NAME, _MODULE, _CLASS = "my-model", "my_model", "MyModel"
"""What the templates are called."""
_LONGEST = 40
"""Signs of a name."""


def new_package(name: str, kind: str, target: Path) -> list[Path]:
    """Write a package with the model ``name`` into the new folder ``target``; returns its files.

    Raises
    ------
    ConfigError
        If the name cannot be used, or ``target`` is there already.
    """
    module, class_name = _check(name)
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{plain(str(target))} is there already: remove it, or give another NAME or --to")
    names = {_NAME: name, _MODULE: module, _CLASS: class_name}
    texts = _texts(kind)
    code = [text.replace(_CLASS, "") for path, text in texts.items() if path.suffix == ".py"]
    if any(re.search(rf"\b{class_name}\b", text) for text in code):
        raise ConfigError(f"the class of '{name}' would be {class_name}, a name of the contract: choose another NAME")
    target.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as draft:
        for path, text in texts.items():
            place = draft / _renamed(str(path), names)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_renamed(text, names), encoding="utf-8")
    return [target / _renamed(str(path), names) for path in texts]


def _texts(kind: str) -> dict[Path, str]:
    """The files of a package, by their places in it."""
    found = {}
    for root in (_TEMPLATES / folder for folder in KINDS[kind]):
        for path in sorted(root.rglob("*")):
            place = path.relative_to(root)
            if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in place.parts):  # caches
                found[place] = path.read_text(encoding="utf-8")
    return found


def _renamed(text: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def _check(name: str) -> tuple[str, str]:
    """The names of the module and of the class of a model."""
    shown = plain(name, 60)
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?", name) or len(name) > _LONGEST:
        raise ConfigError(f"NAME takes at most {_LONGEST} letters, digits, - and _, a letter first, not '{shown}'")
    module = name.replace("-", "_").lower()
    if keyword.iskeyword(module):
        raise ConfigError(f"'{shown}' is a word of Python: choose another NAME")
    if owner := next((plugin.distribution for plugin in installed() if plugin.name.lower() == name.lower()), None):
        raise ConfigError(f"{plain(owner)} has a model '{shown}' already: choose another NAME")
    if module == "tests" or importlib.util.find_spec(module):
        raise ConfigError(f"a package {module} is installed, which '{shown}' would hide: choose another NAME")
    return module, "".join(part[:1].upper() + part[1:] for part in re.split("[-_]+", name))
