"""Compares the rules on pairs of preferences that training never saw together.

Run from the repository's root: ``python -m training.rules``. It prints a table and writes
``benchmarks/rules.json``. Every method answers the same questions with the same seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import random
from pathlib import Path

from training.attributes import present, well_formed, words
from training.evaluate import EVALUATION_SEED, RESULT, chat_cases, generate, lexicon, pool, row
from training.train import TARGET
from training.wordings import HELD_OUT_PAIRS

METHODS: tuple[tuple[str, float], ...] = (
    ("direct", 1.0),
    ("fixed", 1.0),
    ("alternate", 1.0),
    ("overlap", 1.0),
    ("geometric", 1.0),
    ("mixture", 1.0),
    ("veto", 1.0),
    ("compose", 1.0),
    ("compose", 1.5),
)


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description="Compare the rules on the bundled model.")
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--n", type=int, default=504, help="answers of each method")
    options = parser.parse_args()
    pairs = list(itertools.islice(itertools.cycle(HELD_OUT_PAIRS), options.n))
    known = lexicon()
    rows = []
    with pool(options.model) as engines:
        for how, strength in METHODS:
            cases = [
                dataclasses.replace(
                    case, request=dataclasses.replace(case.request, strength=strength)
                )
                for case in chat_cases(random.Random(EVALUATION_SEED), pairs, how)
            ]
            texts = generate(engines, cases)
            both = formed = whole = 0
            for case, text, pair in zip(cases, texts, pairs, strict=True):
                asked = {word.lower() for word in words(str(case.request.prompt))}
                has, is_formed = (
                    all(present(name, text) for name in pair),
                    well_formed(text, known | asked),
                )
                both, formed, whole = both + has, formed + is_formed, whole + (has and is_formed)
            name = how if strength == 1 else f"{how}, strength {strength}"
            for label, hits in (
                ("both", both),
                ("well formed", formed),
                ("both and well formed", whole),
            ):
                found = row(f"{name}: {label}", hits, options.n)
                rows.append(found)
                print(f"{found.name:<44} {found.share:6.1%} [{found.low:.1%}, {found.high:.1%}]")
    content = {
        "n": options.n,
        "seed": EVALUATION_SEED,
        "rows": [dataclasses.asdict(r) for r in rows],
    }
    RESULT.with_name("rules.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
