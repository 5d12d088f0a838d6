"""The walk-through: its pages are what their code prints, in all languages."""

import importlib.util
from pathlib import Path

import pytest
from bench_colarec.config import PRESETS, ColaRecConfig

SCRIPT = Path(__file__).parents[1] / "walkthrough.py"
SPEC = importlib.util.spec_from_file_location("colarec_walkthrough", SCRIPT)
walkthrough = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(walkthrough)

PAGE = """# A page

```python
n = 2
print("a `tick`", n)
```

```text
old
```

Words.

```python varies
n += 1
print(n, end="  ")
```

```text
```
"""


def test_outputs_are_those_of_one_program_and_nothing_else_changes():
    [found] = walkthrough.refresh([PAGE])
    assert found == PAGE.replace("old\n", "a `tick` 2\n").replace("```text\n```", "```text\n3\n```")
    assert walkthrough.refresh([found]) == [found]


def test_only_what_does_not_vary_counts_as_changed():
    [found] = walkthrough.refresh([PAGE])
    assert walkthrough.changed(PAGE, found) == ['n = 2\nprint("a `tick`", n)\n']
    assert walkthrough.changed(found.replace("\n3\n", "\n4\n"), found) == []


def test_pages_with_different_code_are_refused_and_code_without_a_place_for_its_output_too():
    with pytest.raises(ValueError, match="different code"):
        walkthrough.refresh([PAGE, PAGE.replace("n = 2", "n = 5")])
    with pytest.raises(ValueError, match="needs a block of text"):
        walkthrough.blocks("```python\nprint(1)\n```\n")


def test_the_pages_have_the_same_code_and_the_same_output():
    pages = [walkthrough.blocks(path.read_text(encoding="utf-8")) for path in walkthrough.PAGES]
    assert [path.name for path in walkthrough.PAGES] == ["colarec-walkthrough.md", "colarec-walkthrough.zh.md"]
    assert pages[0] == pages[1]
    assert all(block.output for block in pages[0])


def test_what_the_prose_says_of_the_presets_is_true():
    quick, paper = (ColaRecConfig(**PRESETS[name]) for name in ("quick", "paper"))
    assert (quick.score, quick.codebook, quick.init, quick.samples) == ("both", "prefix", "vectors", "user")
    assert (quick.negative_sampling, quick.loss, quick.decoding) == ("batch", "sampled_softmax", "exact")
    assert (quick.codebook_size, quick.tied, quick.match_weight) == (None, True, 3)
    assert quick.held_out > 0
    assert (paper.codebook, paper.init, paper.samples, paper.codebook_size) == ("position", "random", "interaction", 32)
    assert (paper.rec_weight, paper.index_weight, paper.bpr_weight, paper.contrastive_weight) == (0.08, 0.08, 1, 0.1)
    assert (paper.backbone, paper.num_beams) == ("t5-small", 100)
    assert (paper.input_lengths.item_tokens, paper.input_lengths.users) == (30, 1)


@pytest.mark.raw
@pytest.mark.slow
def test_the_pages_are_what_the_script_makes_of_them(raw_dir, monkeypatch):
    monkeypatch.setenv("BENCH_RAW_DIR", str(raw_dir))
    before = [path.read_text(encoding="utf-8") for path in walkthrough.PAGES]
    for old, new in zip(before, walkthrough.refresh(before), strict=True):
        assert walkthrough.changed(old, new) == []
