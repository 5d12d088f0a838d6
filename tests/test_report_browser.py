"""The page in a real browser: what it shows, how it is used, and who can use it."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.messages.study import Study, Trial
from bench.report.numbers import number
from bench.report.page.build import build
from bench.report.page.files import write
from bench.runs.store import Store
from bench.runs.studies import study_path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]

PUBLISHED = Path(__file__).parent.parent / "results" / "published"
USERS = 320
HOSTILE = "<img src=x onerror=alert(1)>| \"'שלום🙂=cmd()"
GROUPS = {
    "all": slice(None),
    "long tail": slice(0, 64),
    "head": slice(64, None),
    "5-9": slice(0, 100),
    "10-19": slice(100, None),
}


def stored(store, result, scores):
    """Keep a result with these values per user, (USERS,), as every metric."""
    frame, groups = {"user": np.arange(USERS)}, {}
    metrics = [f"{name}@{k}" for name in ("ndcg", "recall", "mrr", "hit") for k in (5, 10)]
    for name, chosen in GROUPS.items():
        own = np.full(USERS, np.nan)
        own[chosen] = scores[chosen]
        told = {m: float(scores[chosen].mean()) * (1 if m == "ndcg@10" else 0.9) for m in metrics}
        frame[f"{name}/ndcg@10"] = own
        update = {
            "rule": f"at most {len(scores[chosen])} train interactions",
            "members": name,
            "n": len(scores[chosen]),
        }
        known = result.groups["all"].model_copy(update={**update, "metrics": told, "errors": dict.fromkeys(told, 0.01)})
        groups[name] = known
    looks = {f"{name}@10": float(scores[i]) for i, name in enumerate(("coverage", "gini", "novelty"))}
    result = result.model_copy(update={"groups": groups, "beyond": looks})
    store.path(result.cell_id).mkdir(parents=True, exist_ok=True)
    store.commit(result)
    pd.DataFrame(frame).to_parquet(store.path(result.cell_id) / "per_user.parquet")


@pytest.fixture(scope="module")
def report(make_result, tmp_path_factory):
    """A page of two tables from two folders, with ties, seeds, tuning, failures and hostile names; its document too."""
    root = tmp_path_factory.mktemp("report")
    own, other = Store(root / "results"), Store(root / "published")
    rng = np.random.default_rng(0)

    def phases(seconds):
        return {name: {"seconds": seconds, "peak_mib": 50 + seconds} for name in ("import", "fit", "recommend")}

    for i, (name, mean) in enumerate({"a": 0.53125, "b": 0.5305, "c": 0.3, HOSTILE: 0.1, "pop": 0.03125}.items()):
        noise = rng.permutation(np.repeat([-1 / 64, 1 / 64], USERS // 2))
        for seed in (1, 2) if name == "b" else (1,):
            result = make_result(name, seed=seed, deterministic=name != "b", phases=phases(10.0**i), config={"x": 1})
            stored(other if name == "pop" else own, result, np.full(USERS, mean + seed / 1000) - 1 / 1000 + noise)
    tuned = make_result("c", preset="tuned", deterministic=True, phases=phases(3.0), config={"x": 2})
    stored(own, tuned, np.full(USERS, 0.35) + rng.normal(size=USERS) / 50)
    for result in (make_result("gone", status="failed", reason=HOSTILE), make_result("a", 0.2, dataset="zoo")):
        own.path(result.cell_id).mkdir()
        own.commit(result)
    cell = tuned.cell
    trials = [
        Trial(number=i, options={"x": i + 1}, score=s, seconds=1, cell="c") for i, s in enumerate((0.2, 0.3, 0.25))
    ]
    known = {"dataset": cell.dataset, "fingerprint": cell.fingerprint, "metric": "ndcg@10", "seed": 1, "code": "c"}
    path = study_path(own.root, cell.dataset, "c", cell.fingerprint)
    path.parent.mkdir()
    study = Study(model="c", preset="default", space={}, config={"x": 1}, trials=trials, **known)
    path.write_text(study.model_dump_json())
    paths = write(build([own.root, other.root]), root / "report.html")
    return paths[0], json.loads(paths[1].read_text())


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, report):
    """Open the page; at the end nothing may have gone wrong in it, and nothing may have been asked of a network."""
    contexts, wrong = [], []

    def opened(address="", width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, locale="en-US", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.on(
            "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "blob:")) else None
        )
        page.goto(f"{report[0].as_uri()}#{address}")
        return drawn(page)

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def drawn(page):
    """The page, when the parts that are drawn later are there."""
    page.wait_for_selector("html:not([data-busy])")
    return page


def names(page):
    return page.locator("table.main tbody .row-name .name").all_inner_texts()


@pytest.fixture
def tiny(report):
    return next(table for table in report[1]["tables"] if table["dataset"] == "tiny")


def shown(value):
    return "–" if value is None else number(value)


def test_numbers_are_those_of_the_document_to_the_digit(visit, tiny):
    page = visit()
    assert names(page) == [row["name"] for row in tiny["rows"]]
    assert tiny["rows"][0]["means"]["all"][tiny["metrics"].index("ndcg@10")] == 0.53125  # a tie of the fifth decimal
    for row in tiny["rows"][:-1]:
        at = tiny["metrics"].index("ndcg@10")
        mean, half = row["means"]["all"][at], row["half_widths"]["all"][at]
        texts = page.locator("table.main tbody tr").nth(tiny["rows"].index(row)).locator("td").all_inner_texts()
        assert f"{shown(mean)} ±{shown(half)}" in texts
        for group in ("long tail", "head"):
            assert shown(row["means"][group][at]) in texts
        first, last = row["ranks"]["all"]
        rank = str(first) if first == last else f"{first}–{last}"
        assert texts[0].replace("=", "").strip() == rank
        assert texts[0].startswith("=") == (first == 1)


def test_details_show_every_metric_and_where_they_are_from(visit, tiny):
    page = visit()
    row = next(row for row in tiny["rows"] if row["model"] == "b")
    toggle = page.get_by_role("button", name=re.compile("^b$"))
    toggle.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name=re.compile("^b$")).get_attribute("aria-expanded") == "true"
    details = page.locator("tr.details")
    for metric, line in zip(tiny["metrics"], details.locator("tbody tr").all(), strict=True):
        at = tiny["metrics"].index(metric)
        expected = [
            f"{shown(row['means'][g['name']][at])} ±{shown(row['half_widths'][g['name']][at])}" for g in tiny["groups"]
        ]
        assert line.locator("td").all_inner_texts() == expected
    text = details.inner_text()
    for told in (*row["source"]["cells"], row["source"]["code"], "seed 1: ", "seed 2: "):
        assert told in text
    page.keyboard.press("Enter")  # the button kept the focus
    assert page.locator("tr.details").count() == 0


def test_columns_sort_both_ways_and_rows_without_a_number_stay_last(visit, tiny):
    page = visit()
    known = [row for row in tiny["rows"] if row["costs"]]
    for key, get in {
        "fit": lambda row: row["costs"]["fit"],
        "value": lambda row: row["means"]["all"][tiny["metrics"].index("ndcg@10")],
        "all/recall@10": lambda row: row["means"]["all"][tiny["metrics"].index("recall@10")],
    }.items():
        head = page.locator(f'[data-sort="{key}"]')
        ways = set()
        for _ in range(2):
            head.click()
            way = page.locator(f'th:has([data-sort="{key}"])').get_attribute("aria-sort")
            ways.add(way)
            expected = [row["name"] for row in sorted(known, key=get, reverse=way == "descending")]
            assert names(page) == [*expected, "gone"]
            assert page.evaluate("document.activeElement.dataset.sort") == key
        assert ways == {"ascending", "descending"}


def test_group_and_metric_and_cut_off_switch(visit, tiny):
    page = visit()
    page.get_by_label("Users").select_option("long tail")
    page.get_by_text("recall", exact=True).click()
    page.locator(".switches").get_by_text("5", exact=True).click()
    at = tiny["metrics"].index("recall@5")
    first = tiny["rows"][0]
    expected = f"{shown(first['means']['long tail'][at])} ±{shown(first['half_widths']['long tail'][at])}"
    assert expected in page.locator("table.main tbody tr").first.locator("td").all_inner_texts()
    assert page.locator("tr.level").count() == 0  # ranks are of the first metric alone
    assert "by ndcg@10 alone" in page.locator(".switches").inner_text()
    address = page.url
    again = visit(address.partition("#")[2])
    assert expected in again.locator("table.main tbody tr").first.locator("td").all_inner_texts()


def test_level_rows_are_shaded_and_named_in_a_sentence(visit, tiny):
    page = visit()
    level = [row["name"] for row in tiny["rows"] if row["ranks"].get("all", [0])[0] == 1]
    assert page.locator("tr.level .row-name .name").all_inner_texts() == level
    sentence = page.locator(".verdict").first.inner_text()
    assert sentence == "By ndcg@10, a and b are level with the best of 6 rows; the others are below."
    shades = {page.locator("tr.level td").first.evaluate("one => getComputedStyle(one).backgroundColor")}
    shades.add(page.locator("tr:not(.level) td").last.evaluate("one => getComputedStyle(one).backgroundColor"))
    assert len(shades) == 2


def test_every_part_is_there_and_rows_say_where_they_are_from(visit, tiny):
    page = visit()
    heads = page.locator("h3").all_inner_texts()
    assert heads == [
        "Quality and cost", "Differences", "What can be told apart", "By length of history", "Beyond accuracy",
        "Tuning", "Failed", "Notes",
    ]  # fmt: skip
    assert page.locator("svg.figure").count() == 5
    assert set(page.locator("th .origin").all_inner_texts()) == {"own", "published"}
    assert page.locator(".strip .connector").count() == 1
    assert page.locator(".strip .seed").count() == 0
    page.get_by_label("show each run").check()
    assert page.locator(".strip .seed").count() == 2


def test_differences_are_to_the_chosen_row(visit, tiny):
    page = visit()
    page.get_by_label("Compared with").select_option("c")
    number_of = {row["name"]: i for i, row in enumerate(tiny["rows"])}
    found = page.locator("#at-forest title").all_text_contents()
    expected = []
    for pair in tiny["pairs"]["all"]:
        if number_of["c"] in (pair["a"], pair["b"]):
            sign = 1 if pair["b"] == number_of["c"] else -1
            other = tiny["rows"][pair["a"] if sign == 1 else pair["b"]]["name"]
            difference = sign * pair["difference"]
            text = f"{'+' if difference > 0 else '−'}{number(abs(difference))}"
            expected.append(f"{other} − c: {text} ±{number(pair['half_width'])}")
    assert sorted(found) == sorted(expected)
    assert len(found) == 5


def test_matrix_says_which_rows_are_told_apart(visit, tiny):
    page = visit()
    lines = page.locator(".squares tbody tr").all()
    for i, line in enumerate(lines):
        marks = line.locator("td").all_inner_texts()
        for j, mark in enumerate(marks):
            pair = next((p for p in tiny["pairs"]["all"] if (p["a"], p["b"]) in ((i, j), (j, i))), None)
            if i == j:
                assert mark == ""
            elif pair["p"] >= 0.05:
                assert mark == "="
            else:
                assert mark == ("▲" if (pair["difference"] > 0) == (pair["a"] == i) else "▽")


def test_latex_and_markdown_are_copied(visit, tiny):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    for button, key in (("Copy LaTeX", "latex"), ("Copy Markdown", "markdown")):
        page.get_by_role("button", name=button).click()
        page.get_by_role("button", name="copied").first.wait_for()
        assert page.evaluate("navigator.clipboard.readText()").replace("\r\n", "\n") == tiny[key]


def test_json_and_figures_are_saved(visit, report, tmp_path):
    page = visit()
    with page.expect_download() as started:
        page.get_by_role("button", name="Save JSON").click()
    started.value.save_as(tmp_path / "saved.json")
    assert json.loads((tmp_path / "saved.json").read_text()) == report[1]
    for i in range(5):
        figure = page.locator("figure").nth(i)
        figure.hover()
        with page.expect_download() as started:
            figure.get_by_role("button", name="Save SVG").click()
        started.value.save_as(tmp_path / "figure.svg")
        root = ET.parse(tmp_path / "figure.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert all(one.get("fill") for one in root.iter() if one.tag.endswith("text"))


def test_hostile_names_are_text(visit):
    page = visit()
    assert HOSTILE in names(page)
    assert HOSTILE in page.locator("#at-failures").inner_text()
    assert page.locator("img").count() == 0


def test_chinese(visit, report):
    page = visit()
    page.get_by_text("中文").click()
    drawn(page)
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    heads = page.locator("h3").all_inner_texts()
    assert len(heads) == 8
    assert all(re.search("[\u4e00-\u9fff]", head) for head in heads)
    helps = page.locator("p.help, p.protocol, legend, .choice > span").all_inner_texts()
    assert all(re.search("[\u4e00-\u9fff]", text) for text in helps if text)
    assert visit(width=360).locator("html").get_attribute("lang") == "en"


def test_reader_of_chinese_is_met_in_chinese(browser, report):
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()
    page.goto(report[0].as_uri())
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    context.close()


def brightness(page):
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3


def test_themes(visit):
    assert brightness(visit()) > 200
    dark = visit(color_scheme="dark")
    assert brightness(dark) < 60
    dark.get_by_text("light", exact=True).click()
    assert brightness(dark) > 200
    dark.get_by_text("dark", exact=True).click()
    assert brightness(dark) < 60
    dark.emulate_media(media="print")
    assert brightness(dark) > 200
    assert not dark.locator(".copies").is_visible()


@pytest.mark.parametrize("width", [1200, 360])
def test_nothing_is_wider_than_the_window(visit, width):
    page = visit(width=width)
    page.locator(".row-name").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate("[...document.querySelectorAll('svg.figure')].map(one => one.getBoundingClientRect().right)")
    assert max(sizes) <= width


def test_figures_follow_the_window(visit):
    page = visit()
    page.set_viewport_size({"width": 500, "height": 900})
    page.wait_for_function("[...document.querySelectorAll('svg.figure')].every(one => one.clientWidth <= 500)")


def test_other_table_is_chosen(visit, report):
    page = visit()
    page.get_by_text("zoo · random").click()
    assert page.locator("h2").inner_text().startswith("zoo")
    assert names(page) == ["a"]


def test_keyboard_reaches_every_control(visit):
    page = visit()
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.textContent || document.activeElement.name || document.activeElement.className"
            )
        )
    for control in ("a", "Copy LaTeX", "Save JSON", "Choose rows"):
        assert any(control in str(one) for one in reached), control


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_axe_finds_nothing_serious(visit, language, theme, width):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"language={language}&theme={theme}", width=width)
    page.locator(".row-name").first.click()
    found = Axe().run(page).response["violations"]
    serious = {one["id"]: one["nodes"][0]["html"] for one in found if one["impact"] in ("serious", "critical")}
    assert serious == {}


def test_many_rows_are_shown_when_asked_for(browser, make_result, tmp_path):
    store = Store(tmp_path / "results")
    for i in range(70):
        result = make_result(f"m{i:02}", i / 100)
        store.path(result.cell_id).mkdir(parents=True)
        store.commit(result)
    [path, *_] = write(build([store.root]), tmp_path / "report.html")
    page = browser.new_page(locale="en-US")
    page.goto(path.as_uri())
    assert names(page) == [f"m{i:02}" for i in range(69, 9, -1)]
    page.locator('[data-sort="model"]').click()
    assert names(page) == [f"m{i:02}" for i in range(60)]
    page.get_by_role("button", name="Show all 70 rows").click()
    assert names(page) == [f"m{i:02}" for i in range(70)]
    assert "nothing is said of chance" in page.locator(".verdict").first.inner_text()
    assert not re.search(r"\b(null|undefined|NaN)\b", page.locator("body").inner_text())  # one table: none to choose
    page.close()


def test_page_of_failures_alone(browser, make_result, tmp_path):
    store = Store(tmp_path / "results")
    result = make_result("a", status="failed")
    store.path(result.cell_id).mkdir(parents=True)
    store.commit(result)
    [path, *_] = write(build([store.root]), tmp_path / "report.html")
    page, wrong = browser.new_page(locale="en-US"), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(path.as_uri())
    drawn(page)
    page.locator(".row-name").click()
    assert "it broke" in page.locator("#at-failures").inner_text()
    assert page.locator(".verdict").inner_text() == "No row has a number to compare."
    assert wrong == []
    page.close()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The page of the published results, and its document."""
    page, document, _ = write(build([PUBLISHED]), tmp_path_factory.mktemp("published") / "report.html")
    return page, json.loads(document.read_text())


@pytest.mark.parametrize(("language", "width"), [("en", 1200), ("zh", 360)])
def test_published_tables_are_drawn(browser, published, width, language):
    path, document = published
    page, wrong = browser.new_page(viewport={"width": width, "height": 900}), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for table in document["tables"]:
        page.goto(f"{path.as_uri()}#language={language}&table={table['name']}")
        page.reload()
        drawn(page)
        assert names(page) == [row["name"] for row in table["rows"]][:60]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert wrong == []
    page.close()
