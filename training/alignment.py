"""Compares ways to follow two preferences at once, on questions and wordings never trained on.

Run from the repository's root: ``python -m training.alignment`` (``make eval``). It prints tables
and writes ``benchmarks/ALIGNMENT.md``, ``alignment.json`` and ``alignment.png``. Every method
answers the same questions with the same seeds. Hard pairs of preferences never met in training,
easy ones did.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from persona_judge_llm import PersonaJudge
from persona_judge_llm.evaluation.cases import Case, Method
from persona_judge_llm.evaluation.engine_methods import engine_method
from persona_judge_llm.evaluation.systems import open_system
from persona_judge_llm.sampling import SamplingParams
from training.alignment_report import Cell, chart, lines, measured, written
from training.answers import Setting
from training.attributes import present, sentences, well_formed, words
from training.content import FAMILIES
from training.corpus import ask, wording
from training.evaluate import EVALUATION_SEED, engine_here, lexicon, pool
from training.train import TARGET
from training.wordings import HELD_OUT_PAIRS, TRAIN_PAIRS

PAIRS = {"hard": HELD_OUT_PAIRS, "easy": TRAIN_PAIRS}
ENGINE_METHODS = (
    *("direct", "plain", "single_a", "single_b", "fixed", "alternate"),
    *("overlap", "geometric", "mixture", "veto", "compose", "balance"),
)
SYSTEMS = {
    "context_steering": {"system": "context_steering", "strength": 1.0, "per": "side"},
    "guidance": {"system": "guidance", "scale": 1.5, "against": "plain"},
}
METHODS = (*ENGINE_METHODS, *SYSTEMS)
BATCH = 84
TIMED = 12
_ALIKE = 0.7
_SHORT = 4


@dataclass(frozen=True)
class Question:
    """A case, and what its answer is checked for."""

    case: Case
    pair: tuple[str, str]
    about: Setting


def questions(pairs: Sequence[tuple[str, str]], n: int, seed: int) -> list[Question]:
    """Make held-out questions with held-out wordings of pairs of preferences."""
    rng = random.Random(seed)
    found = []
    for pair in itertools.islice(itertools.cycle(pairs), n):
        text, about = ask(rng.choice(FAMILIES), rng, held_out=True)
        a, b = (wording(name, rng, held_out=True) for name in pair)
        params = SamplingParams(
            temperature=0.7, top_k=20, top_p=0.9, max_new_tokens=128, seed=rng.randrange(2**31)
        )
        found.append(Question(Case(text, (a,), (b,), params), pair, about))
    return found


def on_topic(about: Setting, text: str) -> bool:
    """Say whether an answer holds a tip or an opening of what was asked.

    A proxy: most of the longer words of one of them stand in one sentence of the answer.
    """
    said = [{word.lower() for word in words(part)} for part in sentences(text)]
    for clause in (*about.tips, *about.leads):
        wanted = {word.lower() for word in words(clause) if len(word) >= _SHORT}
        if wanted and any(len(wanted & part) >= _ALIKE * len(wanted) for part in said):
            return True
    return False


def method(engine: PersonaJudge, name: str, batch: int) -> Method:
    """Return a method of the benchmark."""
    spec = SYSTEMS.get(name)
    return open_system(spec, engine) if spec else engine_method(engine, name, batch=batch)


def _answers(name: str, cases: list[Case]) -> list[tuple[str, int]]:
    found = method(engine_here(), name, BATCH).answer(cases)
    return [(answer.text.strip(), answer.tokens) for answer in found]


def _seconds_a_token(name: str, cases: list[Case]) -> float:
    answers = list(method(engine_here(), name, 1).answer(cases))
    return sum(a.seconds for a in answers) / max(1, sum(a.tokens for a in answers))


def cell(engines: Executor, name: str, asked: Sequence[Question], known: frozenset[str]) -> Cell:
    """Answer all questions by one method, and check the answers."""
    parts = [asked[i : i + BATCH] for i in range(0, len(asked), BATCH)]
    cases = [[question.case for question in part] for part in parts]
    texts = [
        found for part in engines.map(_answers, itertools.repeat(name), cases) for found in part
    ]
    checks = np.array(
        [
            (
                present(question.pair[0], text),
                present(question.pair[1], text),
                on_topic(question.about, text),
                well_formed(text, known | {w.lower() for w in words(question.case.prompt)}),
            )
            for question, (text, _) in zip(asked, texts, strict=True)
        ]
    )
    return Cell.of(checks, [text for text, _ in texts])


def time_all(
    engines: Executor, methods: Sequence[str], asked: Sequence[Question]
) -> dict[str, float]:
    """Return seconds a token of each method, answering one user, in turns on one process."""
    cases = [question.case for question in asked[:TIMED]]
    turns: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(3):
        for name in methods:
            turns[name].append(engines.submit(_seconds_a_token, name, cases).result())
    return {name: float(np.median(times)) for name, times in turns.items()}


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description="Compare methods on the bundled model.")
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--n", type=int, default=1008, help="answers of each method and kind")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--out", type=Path, default=TARGET.parents[1] / "benchmarks")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    known, cells = lexicon(), {}
    with pool(options.model) as engines:
        for kind, pairs in PAIRS.items():
            asked = questions(pairs, options.n, EVALUATION_SEED)
            for name in options.methods:
                cells[kind, name] = cell(engines, name, asked, known)
                print(f"{kind} {name}: {cells[kind, name].whole.mean():.1%}", flush=True)
        seconds = time_all(engines, options.methods, asked)
    rows = measured(cells, seconds)
    print("\n".join(lines(rows)))
    if not options.dry:
        written(options.out, rows)
        chart(rows, options.out / "alignment.png")


if __name__ == "__main__":
    main()
