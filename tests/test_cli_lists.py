"""Commands that list and describe."""

import json
import re

import pytest


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--help"], "Run models on a data set"),
        (["models"], "ease"),
        (["models", "list"], "recsys-bench-classic"),
        (["models", "info", "itemknn"], "neighbours = 100"),
        (["datasets"], "tiny"),
        (["datasets", "info", "tiny"], "reviews_tiny.json.gz"),
        (["datasets", "info", "tiny", "--protocol", "loo"], "whose split the order of the raw file decides"),
        (["datasets", "prepare", "tiny"], "fingerprint"),
        (["run", "--help"], "--time-budget"),
        (["--version"], "bench"),
    ],
)
def test_command_shows(bench, words, shown):
    done = bench(*words)
    assert (done.status, done.err) == (0, "")
    assert shown in done.out


def numbers_in(text):
    return [int(number.replace(",", "")) for number in re.findall(r"[\d,]*\d", text)]


def test_every_field_of_a_config_is_described(bench):
    schema = json.loads(bench("models", "info", "itemknn", "--json").out)["config_schema"]
    assert all(field.get("description") for field in schema["properties"].values())


def test_prepare_tells_sizes_and_groups(bench, rows):
    facts = json.loads(bench("datasets", "prepare", "tiny", "--json").out)
    found = facts["statistics"]
    assert found["size"].startswith(f"48 users, 40 items, {len(rows):,} interactions")
    assert facts["interactions"] == len(rows) == sum(numbers_in(found["split"].rpartition(":")[2]))
    groups = {name.strip(): numbers_in(text)[0] for name, text in found.items() if name.startswith("  ")}
    assert groups["all"] == 48 == groups["long tail"] + groups["head"]
    assert sum(groups[name] for name in ("0-4", "5-9", "10-19", "20+")) == 48


def test_classic_plugins_work(bench, monkeypatch):
    monkeypatch.setenv("BENCH_PLUGINS", "recsys-bench-classic")
    found = {plugin["name"]: plugin["error"] for plugin in json.loads(bench("plugin", "list", "--json").out)}
    assert {name: found[name] for name in ("pop", "random", "itemknn", "ease")} == dict.fromkeys(
        ("pop", "random", "itemknn", "ease")
    )


def test_only_named_distributions_are_seen(bench, monkeypatch):
    monkeypatch.setenv("BENCH_PLUGINS", "something-else")
    assert "no models" in bench("models", "list").out


def test_doctor_tells_the_machine_and_where_data_is(bench, tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("BENCH_PLUGINS", "recsys-bench-classic")
    lines = json.loads(bench("doctor", "--results", tmp_path, "--json").out)
    found = {line["what"]: line for line in lines}
    assert {"python", "machine", "device", "cache", "results", "plugin ease"} <= set(found)
    assert str(tiny.raw) in found["data tiny"]["detail"]
