"""Figures of others: the cards, which tables they belong to, and what is said of the rows."""

import json

import pytest
import yaml

from bench.data.catalog import cards
from bench.data.protocol import PROTOCOLS, protocol
from bench.errors import DataError
from bench.report import leaderboard
from bench.report import references as module
from bench.report.references import Reference, references
from bench.report.replication import compare
from bench.report.table import tables
from bench.report.verdict import verdict
from bench.runs.store import Store

LOO = {"split": {"kind": "leave-out"}, "history": "train+valid", "exclude": "train+valid", "candidates": "all"}
CARD = {
    "datasets": ["tiny"],
    "filters": {},
    "protocol": LOO,
    "source": "Somebody",
    "figures": [
        {"model": "Walk", "metrics": {"ndcg@10": 0.2, "recall@10": 0.3}, "row": {"walk": {}}},
        {"model": "Walk tuned", "metrics": {"ndcg@10": 0.4}, "row": {"walk": {}}, "not_reached": "by anybody"},
        {"model": "Run fast", "metrics": {"recall@10": 0.1}, "sd": {"recall@10": 0.01}, "row": {"run": {"speed": 2}}},
    ],
}


def made(**fields):
    return Reference(name="card", **{**CARD, **fields})


@pytest.fixture
def table_of(make_result):
    def make(*results, rules=PROTOCOLS["loo"], dataset="tiny"):
        made = [make_result(protocol=rules, dataset=dataset, **one) for one in results or [{"model": "walk"}]]
        [table] = tables(made)
        return table

    return make


def test_shipped_cards_are_valid_and_know_the_data_they_name():
    """A card whose filters are not those of the data set could never match, but where the source has other filters."""
    found, known = references(), cards()
    assert len(found) == len(yaml.safe_load(module.packaged("references.yaml").read_text(encoding="utf-8")))
    for card in found.values():
        for name in card.datasets:
            if name in known and card.users and not known[name].expected.approximate:
                assert (known[name].expected.users, known[name].filters) == (card.users, card.filters), card.name
    assert any(figure.not_reached for card in found.values() for figure in card.figures)


def test_shipped_figures_are_those_of_the_survey():
    """Some, by hand: the best of each source, and those that other tests of the project use."""
    found = {(card.name, one.model): one.metrics for card in references().values() for one in card.figures}
    for key, recall, ndcg in (
        (("recboard-beauty", "BSARec"), 0.1002, 0.0610),
        (("recboard-sports", "HSTU"), 0.0587, 0.0332),
        (("recboard-toys", "LightGCN"), 0.0469, 0.0247),
        (("transformer-benchmark-beauty", "SASRec sampled softmax"), 0.0921, 0.0531),
        (("cornac-beauty", "SASRec BCE"), 0.0740, 0.0423),
        (("recbole-ml-100k", "BPR"), 0.2368, 0.2768),
        (("tuning-digital-music", "EASE"), 0.1053, 0.0868),
        (("tuning-epinions", "EASE"), 0.1560, 0.1643),
    ):
        assert (found[key]["recall@10"], found[key]["ndcg@10"]) == (recall, ndcg)


def test_a_card_belongs_to_tables_of_its_data_and_rules_alone(table_of, monkeypatch):
    card = made()
    assert card.match(table_of())
    assert not card.match(table_of(dataset="other"))
    for rules in (protocol("loo", exclude="none"), protocol("loo", history="train"), protocol("loo:2"),
                  protocol("loo", candidates="train"), PROTOCOLS["random"]):  # fmt: skip
        assert not card.match(table_of(rules=rules)), rules
    assert made(protocol={**LOO, "exclude": "none"}).match(table_of(rules=protocol("loo", exclude="none")))
    for field in ("history", "exclude", "candidates"):
        assert not made(protocol={**LOO, field: "unknown"}).match(table_of())
    assert not made(protocol={**LOO, "split": "the last one of each user"}).match(table_of())
    assert made(users=40).match(table_of())  # as many as the results of the fixture have
    assert not made(users=41).match(table_of())
    known = {"tiny": next(iter(cards().values())).model_copy(update={"name": "tiny"})}
    monkeypatch.setattr(module, "cards", lambda: known)
    assert made(filters=known["tiny"].filters.model_dump()).match(table_of())
    assert not made(filters={"k_core": 77}).match(table_of())


def test_the_seed_of_a_random_split_does_not_matter(table_of):
    rules = {"split": {"kind": "ratio"}, "history": "train", "exclude": "train+valid", "candidates": "all"}
    assert made(protocol=rules).match(table_of(rules=protocol("random", 7)))
    other = {**rules, "split": {"kind": "ratio", "order": "time"}}
    assert not made(protocol=other).match(table_of(rules=protocol("random", 7)))


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (0.2099, "replicated within 5 %"),
        (0.1901, "replicated within 5 %"),
        (0.184, "below by 8 %"),
        (0.23, "above by 15 %"),
        (0.26, "implausibly high, by 30 %: check for a leak"),
    ],
)
def test_a_row_of_the_same_model_is_judged_by_the_best_figure_that_can_be_reached(table_of, score, says):
    [found] = compare(table_of({"model": "walk", "score": score}), [made()])
    assert (found.says, found.model, found.figure, found.metric) == (says, "Walk", 0.2, "ndcg@10")


def test_only_rows_of_the_same_model_and_config_are_judged(table_of):
    ablation = {"name": "no_legs", "unablated": {}}
    table = table_of(
        {"model": "run", "score": 0.1, "config": {"speed": 2}},
        {"model": "run", "score": 0.9, "config": {"speed": 1}},
        {"model": "stand", "score": 0.9},
        {"model": "walk", "score": 0.9, "ablation": ablation},
        {"model": "walk", "status": "failed"},
    )
    [found] = compare(table, [made()])
    assert (found.row, found.metric, found.says) == ("run [speed=2]", "recall@10", "replicated within 5 %")


@pytest.fixture
def shown(table_of, monkeypatch, tmp_path):
    """A table of a model and one card of many figures."""
    many = [{"model": f"Other {number}", "metrics": {"ndcg@10": (number + 1) / 100}} for number in range(60, 80)]
    card = made(figures=[*CARD["figures"], *many])
    monkeypatch.setattr(module, "references", lambda: {"card": card})
    table = table_of({"model": "walk", "score": 0.2})
    return table, verdict(table, Store(tmp_path)), card


def test_tables_show_figures_in_a_table_of_their_own(shown, tmp_path):
    table, found, card = shown
    page, _, document = leaderboard.write(table, tmp_path, found)
    text = page.read_text()
    assert "- walk: replicated within 5 % (ndcg@10 .2000 beside .2000 of Walk, Somebody)" in text
    assert "- Walk tuned of Somebody was not reached: by anybody" in text
    others = text.partition("Figures of others")[2]
    assert all(f"| {figure.model} " in others for figure in card.figures)
    assert "Other 61" not in text.partition("Figures of others")[0]
    told = json.loads(document.read_text())
    assert Reference.model_validate(told["references"][0]) == card
    assert [one["says"] for one in told["comparisons"]] == ["replicated within 5 %"]


def test_the_terminal_has_the_best_and_those_of_its_rows(shown, tmp_path):
    table, found, _ = shown
    others = leaderboard.terminal(table, Store(tmp_path), found).partition("Figures of others")[2]
    names = [line.split("|")[1].strip() for line in others.splitlines() if line.startswith("| ")][1:]
    assert names == ["Other 79", "Other 78", "Other 77", "Other 76", "Other 75", "Walk tuned (not reached)", "Walk"]
    assert "(16 more: bench references --dataset tiny)" in others


def test_a_table_of_other_rules_shows_none(table_of, tmp_path):
    table = table_of(rules=PROTOCOLS["random"])
    assert "Figures of others" not in leaderboard.markdown(table, verdict(table, Store(tmp_path)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": None}, "card: source: "),
        ({"figures": []}, "card: figures: "),
        ({"surprise": 1}, "card: surprise: "),
        ({"filters": {"k_cor": 5}}, "card: filters.k_cor: "),
        ({"protocol": {**LOO, "exclude": "nothing"}}, "card: protocol.exclude"),
        ({"figures": [{"model": "a", "metrics": {"ndcg": 0.1}}]}, "card: figures.0.metrics.ndcg"),
        ({"figures": [{"model": "a", "metrics": {"ndcg@10": 61.0}}]}, "card: figures.0.metrics.ndcg@10"),
        (
            {"figures": [{"model": "a", "metrics": {"ndcg@10": 0.1}, "sd": {"ndcg@5": 0.1}}]},
            "of which there is no mean",
        ),
    ],
    ids=str,
)
def test_a_bad_card_is_one_line(tmp_path, monkeypatch, change, said):
    (tmp_path / "references.yaml").write_text(yaml.safe_dump({"card": {**CARD, **change}}))
    monkeypatch.setattr(module, "packaged", lambda name: tmp_path / name)
    with pytest.raises(DataError) as raised:
        references.__wrapped__()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_command_lists_protocols_apart(bench):
    done = bench("references", "--dataset", "beauty")
    assert (done.status, done.err) == (0, "")
    first, *others = done.out.split("other protocol: ")
    assert [other.partition("\n")[0] for other in others] == ["history ranked too", "unknown what is excluded"]
    assert "| BSARec " in first
    assert "| RPG " in others[0]
    assert "| RPG " not in first
    assert max(map(len, done.out.splitlines())) <= 100
    assert "not reached: an independent EASE" in bench("references", "--dataset", "digital-music").out.replace(
        "\n  ", " "
    )


def test_command_knows_its_data_sets(bench):
    assert bench("references").out.splitlines()[0].split()[1:3] == ["7", "figures"]
    done = bench("references", "--dataset", "beaty")
    assert (done.status, done.out) == (1, "")
    assert (
        done.err
        == "error: unknown data set with figures of others 'beaty': did you mean 'beauty'? see 'bench references'\n"
    )
    told = json.loads(bench("references", "--json").out)
    assert [Reference.model_validate(one) for one in told] == list(references().values())


def test_a_last_fit_on_validation_too_is_no_table_of_others(table_of, tmp_path):
    rules = PROTOCOLS["loo"].model_copy(update={"fit": "train+valid"})
    assert made().protocol.match(PROTOCOLS["loo"])
    assert not made().protocol.match(rules)
    for card in references().values():
        assert not card.protocol.match(rules)
