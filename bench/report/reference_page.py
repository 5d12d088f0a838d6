"""All figures of others on a data set, protocol by protocol, for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bench.report.leaderboard import WIDTH, pipe
from bench.report.references import Figure, Reference
from bench.report.replication import lines


def page(cards: Sequence[Reference]) -> str:
    """All figures of a data set, a table for each protocol; the one with the most figures first, then what differs."""
    groups: dict[tuple[str, str], list[Reference]] = {}
    for card in cards:
        groups.setdefault((card.data, card.protocol.describe()), []).append(card)
    ordered = sorted(groups.values(), key=lambda group: -sum(len(card.figures) for card in group))
    first = ordered[0][0]
    return "\n\n".join(_section(group, first) for group in ordered)


def _section(cards: Sequence[Reference], first: Reference) -> str:
    card = cards[0]
    differs = card.protocol.unlike(first.protocol) + ([] if card.data == first.data else ["other filters"])
    head = f"other protocol: {', '.join(differs)}" if differs else "figures of others"
    metrics = dict.fromkeys(metric for card in cards for figure in card.figures for metric in figure.metrics)
    cells, heads, _ = lines(cards, sorted(metrics, key=lambda metric: not metric.startswith("ndcg")))
    notes = {note: None for card in cards for note in _notes(card)}
    rules = textwrap.fill(f"{card.protocol.describe()}; {card.data}", WIDTH)
    return "\n\n".join([f"{head}\n{rules}", pipe(cells, heads, text_columns=2), *(["\n".join(notes)] if notes else [])])


def _notes(card: Reference) -> list[str]:
    own = [(card.origin, card.note), *((f"{card.origin}, {figure.model}", _note(figure)) for figure in card.figures)]
    return [textwrap.fill(f"- {what}: {note}", WIDTH, subsequent_indent="  ") for what, note in own if note]


def _note(figure: Figure) -> str:
    return "; ".join(
        part for part in (figure.note, figure.not_reached and f"not reached: {figure.not_reached}") if part
    )
