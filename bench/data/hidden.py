"""The test part, which no worker is given. The worker's code may not import this module."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bench.data.dataset import Folder
from bench.data.visible import VisibleSplit
from bench.interactions import Interactions


class HiddenTest(Folder):
    """The test part, kept apart from everything that a worker is given."""

    @cached_property
    def test(self) -> Interactions:
        return self.load("test")


@dataclass(frozen=True)
class Validation:
    """The validation part in place of test, for who may choose by it."""

    visible: VisibleSplit

    @property
    def test(self) -> Interactions:
        return self.visible.judged


@dataclass(frozen=True)
class Split:
    """A split data set as the parent process sees it."""

    visible: VisibleSplit
    hidden: HiddenTest | Validation

    @property
    def fingerprint(self) -> str:
        """Identity of the protocol: rows with different ones are never compared."""
        return str(self.visible.facts["fingerprint"])
