"""One kind of database with our store and LangGraph's in it, and what was found there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.profile_stores import people, theirs
from benchmarks.profile_stores.databases import Databases
from benchmarks.profile_stores.sizes import Sizes
from benchmarks.results import Comparison, Figure, Gap, Result

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore


@dataclass(slots=True)
class Bench:
    """What the parts of the measurement share."""

    databases: Databases
    sizes: Sizes
    result: Result
    ours: str = ""
    """The database that our store has filled."""
    by_user: str | None = None
    """LangGraph's, an item for each user; None where it is not installed."""
    by_preference: str | None = None
    _seed: int = field(default=0)

    @property
    def url(self) -> str:
        """The address of our database."""
        return self.databases.url(self.ours)

    def keys(self, count: int) -> list[str]:
        """Return the ids of users drawn at random, others at every call."""
        self._seed += 1
        return list(people.some(self.sizes.users, count, self._seed))

    def note(
        self,
        method: str,
        unit: str,
        values: list[float],
        goal: float | None = None,
        *,
        at_most: bool = False,
    ) -> None:
        """Keep a figure; goals count only in a whole run."""
        aim = None if goal is None else self.sizes.goal(goal)
        figure = Figure.of(method, self.databases.name, unit, values, aim, at_most=at_most)
        self.result.figures.append(figure)

    def compare(
        self,
        what: tuple[str, list[float]],
        against: tuple[str, list[float]],
        goal: float | None = 1.0,
        *,
        at_most: bool = False,
    ) -> None:
        """Keep how our store stands to LangGraph's, which it should beat, or to something else."""
        aim = None if goal is None else self.sizes.goal(goal)
        compared = Comparison.of(what, against, self.databases.name, aim, at_most=at_most)
        self.result.comparisons.append(compared)

    def fill_theirs(self) -> None:
        """Put the same users into LangGraph's stores, in both layouts."""
        try:
            theirs.store_class(self.databases)
        except theirs.NotInstalledError as error:
            self.result.gaps.append(
                Gap(theirs.name(self.databases), self.databases.name, str(error))
            )
            return
        self.by_user = theirs.fill(self.databases, self.sizes.users, by_user=True)
        self.by_preference = theirs.fill(self.databases, self.sizes.users, by_user=False)

    @contextmanager
    def theirs(self, *, pooled: bool = False) -> "Iterator[tuple[BaseStore, BaseStore] | None]":
        """Open LangGraph's stores: with an item for each user, and one for each preference."""
        if self.by_user is None or self.by_preference is None:
            yield None
            return
        with (
            theirs.opened(self.databases, self.by_user, pooled=pooled) as by_user,
            theirs.opened(self.databases, self.by_preference, pooled=pooled) as by_preference,
        ):
            yield by_user, by_preference
