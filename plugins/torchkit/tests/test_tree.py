"""The prefix tree against prefixes as tuples."""

import numpy as np
from bench_torchkit.tree import tree
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def identifiers(draw):
    width, length = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    code = st.tuples(*[st.integers(0, width - 1)] * length)
    return width, np.array(draw(st.lists(code, min_size=1, max_size=20, unique=True)), np.int32)


@given(identifiers())
def test_nodes_are_the_sorted_prefixes(case):
    width, codes = case
    found = tree(codes, width)
    rows = [tuple(code) for code in codes.tolist()]
    length = codes.shape[1]
    assert (found.length, found.width) == (length, width)
    prefixes = [sorted({row[:level] for row in rows}) for level in range(length + 1)]
    for level, nodes in enumerate(prefixes):
        assert found.size(level) == len(nodes)
        assert found.nodes[:, level].tolist() == [nodes.index(row[:level]) for row in rows]
        if level:
            assert found.parents[level - 1].tolist() == [prefixes[level - 1].index(node[:-1]) for node in nodes]
            assert found.labels[level - 1].tolist() == [node[-1] for node in nodes]
        if level < length:
            below = prefixes[level + 1]
            assert found.children[level].tolist() == [
                [below.index((*node, code)) if (*node, code) in below else -1 for code in range(width)]
                for node in nodes
            ]
    assert [rows[item] for item in found.items] == prefixes[length]
