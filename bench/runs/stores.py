"""Several results folders read as one, for instance one's own beside a published one."""

from __future__ import annotations

from collections.abc import Mapping

from bench.messages.cell import Result
from bench.runs.store import Store


class Stores(Store):
    """To read: a cell that several folders have is that of the first one where it finished."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        """Of folders by what they are called; the first one is that of new results."""
        super().__init__(next(iter(stores.values())).root)
        self.stores = stores
        self._found: dict[str, tuple[str, Result]] = {}
        for name, store in stores.items():
            for result in store.results():
                before = self.result(result.cell_id)
                if before is None or (before.status, result.status) == ("failed", "finished"):
                    self._found[result.cell_id] = (name, result)
            self.left_out += store.left_out

    def origin(self, cell_id: str) -> str:
        """What the folder is called that a cell is from."""
        return self._found[cell_id][0]

    def home(self, cell_id: str) -> Store:
        return self.stores[self.origin(cell_id)]

    def result(self, cell_id: str) -> Result | None:
        return self._found[cell_id][1] if cell_id in self._found else None

    def results(self) -> list[Result]:
        return sorted((result for _, result in self._found.values()), key=lambda one: (one.created, one.cell_id))
