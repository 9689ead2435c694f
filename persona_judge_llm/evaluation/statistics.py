"""How sure a number is: Wilson intervals, the sign test, bootstrap, and ways to count ties."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.data_files import missing

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, and how many observations it rests on."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    Args:
        successes: may hold halves, for ties; the interval is then a little too wide.
        n: observations; with none, nothing is known: (0, 1).
        confidence: of the two-sided interval.

    Raises:
        InvalidParameterError: more successes than observations, or below none.
    """
    if not 0 <= successes <= n:
        raise InvalidParameterError("successes", successes, f"from 0 to n={n}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p-value of wins and losses being equally likely; ties count nothing.

    Raises:
        MissingDependencyError: scipy is not installed.
    """
    if wins + losses == 0:
        return 1.0
    try:
        from scipy.stats import binomtest
    except ModuleNotFoundError as error:
        raise missing(error) from error
    return float(binomtest(wins, wins + losses, 0.5).pvalue)


def mean(
    values: Sequence[float], *, seed: int = 0, resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:  # fmt: skip
    """Return the mean with its percentile bootstrap interval; the same for the same seed.

    Raises:
        InvalidParameterError: no values, or one that is no finite number.
    """
    data = np.asarray(values, dtype=float)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise InvalidParameterError("values", f"{len(data)} values", "finite numbers, 1 or more")
    generator = np.random.default_rng(seed)
    # Blocks, so that thousands of answers need no gigabyte of indices.
    block = max(1, 1_000_000 // len(data))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    means = np.concatenate(
        [data[generator.integers(0, len(data), (size, len(data)))].mean(axis=1) for size in sizes]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(data.mean()), float(low), float(high), len(data))


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a judge made of one method's answers beside another's."""

    wins: int = 0
    ties: int = 0
    losses: int = 0
    unreadable: int = 0
    """Questions for which an order has no readable verdict; in no share below."""

    @property
    def n(self) -> int:
        """Questions that were judged."""
        return self.wins + self.ties + self.losses

    def half_ties(self) -> Estimate:
        """Return wins and half of the ties: the headline."""
        return self._share(self.wins + self.ties / 2)

    def wins_only(self) -> Estimate:
        """Return wins: a tie counts as a loss."""
        return self._share(self.wins)

    def wins_and_ties(self) -> Estimate:
        """Return wins and ties, as some papers count: 20 % ties make 60 % of an even match."""
        return self._share(self.wins + self.ties)

    def p_value(self) -> float:
        """Return that of the sign test of wins and losses."""
        return sign_test(self.wins, self.losses)

    def _share(self, successes: float) -> Estimate:
        low, high = wilson(successes, self.n)
        return Estimate(successes / self.n if self.n else math.nan, low, high, self.n)
