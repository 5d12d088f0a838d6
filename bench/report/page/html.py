"""One HTML file from the document and the files of this package, which a reader can open by themselves."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from bench.report.page.document import Page

STYLES = ("page.css", "table.css", "figures.css", "media.css")
SCRIPTS = (
    "state.js", "words.js", "dom.js", "figures.js", "strip.js", "table.js", "details.js", "scatter.js", "pairs.js",
    "lines.js", "parts.js", "head.js", "verdict.js", "page.js",
)  # fmt: skip
"""In the order in which they stand on the page."""
LANGUAGES = ("en", "zh")


def asset(name: str) -> str:
    """Text of a file of the page."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def html(page: Page) -> str:
    """The page. Its scripts are held by their hash: no other one can run, and nothing is loaded."""
    script = "\n".join(["(() => {\n'use strict';", *map(asset, SCRIPTS), "})();"])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    words = {language: json.loads(asset(f"{language}.json")) for language in LANGUAGES}
    parts = {
        "@style@": "".join(map(asset, STYLES)),
        "@script@": script,
        "@hash@": f"sha256-{digest}",
        "@words@": embedded(words),
        "@data@": embedded(as_json(page)),
    }
    # One pass: a name like these in the data stays what it is.
    return re.sub("|".join(parts), lambda found: parts[found[0]], asset("page.html"))


def as_json(page: Page) -> Any:
    """The document as JSON has it, null for what is not a number."""
    return json.loads(page.model_dump_json())


def embedded(value: Any) -> str:
    """JSON that may stand in a script element: no tag ends or begins in it, and no number is other than in JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
