"""Runs the code of the walk-through, and puts what it prints into the pages.

    OMP_NUM_THREADS=1 BENCH_RAW_DIR=DIR python plugins/colarec/walkthrough.py [--check]

A page is Markdown. Each block of ``python`` is followed by a block of ``text`` that holds its output; the blocks of a
page are one program, and all pages have the same one. A block of ``python varies`` prints what the last digits of a sum
decide, so that ``--check`` asks only that it runs. The pages, one per language, are ``docs/colarec-walkthrough*.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

PAGES = sorted((Path(__file__).parents[2] / "docs").glob("colarec-walkthrough*.md"))

_BLOCK = re.compile(
    r"^```python(?P<varies> varies)?\n(?P<code>.*?)^```\n\n```text\n(?P<output>.*?)^```$", re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """A block of code and its output."""

    code: str
    output: str
    varies: bool


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in order.

    Raises
    ------
    ValueError
        If a block of code is not followed by one of output.
    """
    found = [Block(match["code"], match["output"], bool(match["varies"])) for match in _BLOCK.finditer(page)]
    if len(found) != len(re.findall(r"^```python", page, re.MULTILINE)):
        raise ValueError("each block of python needs a block of text behind it")
    return found


def run(codes: Sequence[str]) -> list[str]:
    """What each piece of one program prints."""
    names: dict[str, Any] = {"__name__": "walkthrough"}
    outputs = []
    for number, code in enumerate(codes, 1):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, f"block {number}", "exec"), names)  # noqa: S102 (the pages are our own)
        lines = [line.rstrip() for line in printed.getvalue().splitlines()]
        outputs.append("".join(f"{line}\n" for line in lines))
    return outputs


def filled(page: str, outputs: Sequence[str]) -> str:
    """The page with these outputs."""
    each = iter(outputs)
    return _BLOCK.sub(lambda m: m[0][: m.start("output") - m.start()] + next(each) + "```", page)


def refresh(pages: Sequence[str]) -> list[str]:
    """The pages with what their program prints now.

    Raises
    ------
    ValueError
        If their programs differ.
    """
    programs = [[block.code for block in blocks(page)] for page in pages]
    if any(program != programs[0] for program in programs):
        raise ValueError("the pages have different code")
    outputs = run(programs[0])
    return [filled(page, outputs) for page in pages]


def changed(before: str, after: str) -> list[str]:
    """Code of the blocks whose output is not what it was, of those that do not vary."""
    pairs = zip(blocks(before), blocks(after), strict=True)
    return [old.code for old, new in pairs if old.output != new.output and not old.varies]


def main() -> None:
    """See the docstring of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if an output is another one")
    given = parser.parse_args()
    before = [path.read_text(encoding="utf-8") for path in PAGES]
    for path, old, new in zip(PAGES, before, refresh(before), strict=True):
        if not given.check:
            path.write_text(new, encoding="utf-8")
        elif found := changed(old, new):
            raise SystemExit(f"{path}: the output has changed of\n{found[0]}")


if __name__ == "__main__":
    main()
