"""The law of Algorithm 1 by full enumeration, written as the paper prints it.

Independent of the package's loops: drafts, acceptances and residuals are enumerated one by one,
in float64 and plain Python.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

Distribution = Sequence[float]
NextToken = Callable[[tuple[int, ...]], Distribution]


def joint_law(
    side_a: NextToken,
    side_b: NextToken,
    *,
    length: int,
    num_draft_tokens: int,
    turns: tuple[int, int],
) -> dict[tuple[int, ...], float]:
    """Return the probability of every text of `length` tokens."""
    law: dict[tuple[int, ...], float] = defaultdict(float)

    def window(text: tuple[int, ...], number: int, mass: float) -> None:
        """Run one window: B judges the first turns[1] of each round, A the others."""
        b_judges = number % sum(turns) < turns[1]
        judge, draft = (side_b, side_a) if b_judges else (side_a, side_b)
        place(text, number, mass, draft, judge, drafted=0)

    def place(
        text: tuple[int, ...],
        number: int,
        mass: float,
        draft: NextToken,
        judge: NextToken,
        drafted: int,
    ) -> None:
        if mass == 0:
            return
        if len(text) == length:
            law[text] += mass
            return
        judge_probs = judge(text)
        if drafted == num_draft_tokens:  # all accepted: one bonus token from the judge
            for token, probability in enumerate(judge_probs):
                window((*text, token), number + 1, mass * probability)
            return
        draft_probs = draft(text)
        refused = 0.0
        for token, drawn in enumerate(draft_probs):
            accepted = drawn * min(1.0, judge_probs[token] / drawn) if drawn else 0.0
            refused += drawn - accepted
            place((*text, token), number, mass * accepted, draft, judge, drafted + 1)
        residual = [max(0.0, j - d) for j, d in zip(judge_probs, draft_probs, strict=True)]
        total = sum(residual)
        for token, part in enumerate(residual):
            if part and refused > 1e-15:
                window((*text, token), number + 1, mass * refused * part / total)

    window((), 0, 1.0)
    return dict(law)
