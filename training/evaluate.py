"""Measures the bundled model on questions, wordings and pairs that training never saw.

Run from the repository's root: ``python -m training.evaluate``. It prints a table and writes
``benchmarks/bundled_model.json``. Everything is sampled through the package's own engine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from persona_judge_llm import PersonaJudge, Request, SamplingParams
from training.attributes import DIMENSIONS, present, well_formed, words
from training.content import FAMILIES
from training.contexts import context_messages
from training.copying import passage
from training.corpus import BLOCK_HEAD, ask, stream, wording
from training.scripts import naming_task
from training.tooling import ToolTask, tool_task
from training.train import SEED, TARGET
from training.wordings import HELD_OUT_PAIRS

RESULT = Path(__file__).resolve().parent.parent / "benchmarks" / "bundled_model.json"
EVALUATION_SEED = 977
_BATCH = 84
_LEXICON_SAMPLES = 40_000
_CALL = re.compile(r"<tool_call>\s*(\{.*\})\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One line of the table: a share with its 95 % Wilson interval."""

    name: str
    share: float
    low: float
    high: float
    n: int
    target: str = ""


@dataclass(frozen=True)
class Case:
    """A request with what its answer is checked for."""

    request: Request
    dimensions: tuple[str, ...] = ()
    answer: str = ""
    tool: str = ""
    arguments: str = ""


def row(name: str, hits: int, n: int, target: str = "") -> Row:
    """Make a row with its interval."""
    z = 1.96
    share = hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return Row(name, round(share, 4), round(middle - half, 4), round(middle + half, 4), n, target)


def _params(seed: int, tokens: int = 128) -> SamplingParams:
    return SamplingParams(temperature=0.7, top_k=20, top_p=0.9, max_new_tokens=tokens, seed=seed)


def lexicon() -> frozenset[str]:
    """Collect the words of a sample of the training corpus."""
    known: set[str] = set()
    for dialogue in itertools.islice(stream(SEED), _LEXICON_SAMPLES):
        if dialogue.kind == "chat":
            known.update(word.lower() for word in words(dialogue.answer))
    return frozenset(known)


_ENGINES: list[PersonaJudge] = []


def _open(model: str) -> None:
    torch.set_num_threads(1)
    _ENGINES.append(PersonaJudge.from_pretrained(model))


def engine_here() -> PersonaJudge:
    """Return the engine of this process of the pool."""
    return _ENGINES[0]


def _answer(requests: list[Request]) -> list[str]:
    return [result.text.strip() for result in _ENGINES[0].generate_batch(requests)]


def pool(model: Path) -> ProcessPoolExecutor:
    """Make two processes of one thread, each with an engine of its own."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(2, context, initializer=_open, initargs=(str(model),))


def generate(engines: Executor, cases: Sequence[Case]) -> list[str]:
    """Answer all cases, in batches."""
    requests = [case.request for case in cases]
    parts = [requests[i : i + _BATCH] for i in range(0, len(requests), _BATCH)]
    return [text for texts in engines.map(_answer, parts) for text in texts]


def _question(rng: random.Random) -> str:
    return ask(rng.choice(FAMILIES), rng, held_out=True)[0]


def chat_cases(rng: random.Random, sets: Sequence[tuple[str, ...]], how: str) -> list[Case]:
    """Make held-out questions with held-out wordings.

    Args:
        rng: Source of randomness.
        sets: The dimensions of each case.
        how: "alone" (the engine's own prompt), "direct" (both in one system message, plain
            decoding), "fixed" or "alternate".
    """
    cases = []
    for dimensions in sets:
        question = _question(rng)
        texts = [wording(name, rng, held_out=True) for name in dimensions]
        params = _params(rng.randrange(2**31))
        if how == "direct":
            block = BLOCK_HEAD + "".join(f"\n- {text}" for text in texts)
            prompt = [
                {"role": "system", "content": block},
                {"role": "user", "content": question},
            ]
            request = Request(prompt, params=params)
        elif how == "alone":
            request = Request(question, preferences=texts or None, params=params)
        else:
            rule: Any = how
            request = Request(question, preferences=texts, rule=rule, params=params)
        cases.append(Case(request, dimensions))
    return cases


def context_cases(rng: random.Random, n: int) -> list[Case]:
    """Make passages of new words, asked in held-out wordings."""
    cases = []
    for _ in range(n):
        task = passage(rng, rng.choice((1, 2, 3, 4, 5, 6)), held_out=True)
        request = Request(context_messages(task, rng), params=_params(rng.randrange(2**31)))
        cases.append(Case(request, answer=task.answer))
    return cases


def tool_cases(rng: random.Random, n: int, make: Callable[..., ToolTask] = tool_task) -> list[Case]:
    """Make tool tasks with new values, asked in held-out wordings."""
    cases = []
    for _ in range(n):
        task = make(rng, held_out=True)
        request = Request(
            [{"role": "user", "content": task.question}],
            tools=list(task.tools),
            params=_params(rng.randrange(2**31)),
        )
        arguments = json.dumps(task.arguments, sort_keys=True)
        cases.append(Case(request, tool=task.name, arguments=arguments))
    return cases


def read_call(text: str) -> tuple[str, str] | None:
    """Read name and arguments of the only tool call in a text, or None."""
    match = _CALL.fullmatch(text.strip())
    if match is None:
        return None
    try:
        call = json.loads(match.group(1))
        return str(call["name"]), json.dumps(call["arguments"], sort_keys=True)
    except (ValueError, KeyError, TypeError):
        return None


def evaluate(engines: Executor, n: int, per_dimension: int) -> tuple[list[Row], dict[str, Any]]:
    """Measure every row.

    Args:
        engines: Processes with the model, from `pool`.
        n: Generations a row.
        per_dimension: Generations of each dimension's own row.

    Returns:
        The rows, and example answers.
    """
    rng = random.Random(EVALUATION_SEED)
    known = lexicon()
    rows: list[Row] = []
    samples: dict[str, Any] = {}

    def formed(text: str, question: str) -> bool:
        return well_formed(text, known | {word.lower() for word in words(question)})

    def note(
        name: str,
        cases: list[Case],
        texts: list[str],
        check: Callable[[Case, str], bool],
        target: str,
    ) -> None:
        hits = sum(check(case, text) for case, text in zip(cases, texts, strict=True))
        rows.append(row(name, hits, len(cases), target))
        samples[name] = texts[:3]
        if not cases[0].answer:
            ok = sum(
                formed(text, str(case.request.prompt))
                for case, text in zip(cases, texts, strict=True)
            )
            rows.append(row(f"well formed: {name}", ok, len(cases), ">= 95 %"))
        print(f"  {name}: {hits / len(cases):.3f}", flush=True)

    def run(name: str, cases: list[Case], check: Callable[[Case, str], bool], target: str) -> None:
        note(name, cases, generate(engines, cases), check, target)

    def has_all(case: Case, text: str) -> bool:
        return all(present(name, text) for name in case.dimensions)

    names = (*DIMENSIONS, "no_emoji")
    sets = [(name,) for name in names for _ in range(per_dimension)]
    cases = chat_cases(rng, sets, "alone")
    order = list(range(len(cases)))
    rng.shuffle(order)
    texts = dict(zip(order, generate(engines, [cases[i] for i in order]), strict=True))
    for k, name in enumerate(names):
        span = range(k * per_dimension, (k + 1) * per_dimension)
        own = [texts[i] for i in span]
        note(f"one preference: {name}", [cases[i] for i in span], own, has_all, ">= 75 %")
    plain = chat_cases(rng, [()] * n, "alone")
    answers = generate(engines, plain)
    samples["no preference"] = answers[:3]
    counts = Counter(name for text in answers for name in DIMENSIONS if present(name, text))
    rows += [row(f"no preference: {name}", counts[name], n, "< 25 %") for name in DIMENSIONS]
    ok = sum(
        formed(text, str(case.request.prompt)) for case, text in zip(plain, answers, strict=True)
    )
    rows.append(row("well formed: no preference", ok, n, ">= 95 %"))
    pairs = list(itertools.islice(itertools.cycle(HELD_OUT_PAIRS), n))
    for how, label in (
        ("direct", "direct prompting"),
        ("fixed", "Base (fixed)"),
        ("alternate", "Persona-judge"),
    ):
        run(f"two preferences: {label}", chat_cases(rng, pairs, how), has_all, "")
    run(
        "context answer exact",
        context_cases(rng, n),
        lambda case, text: text == case.answer,
        ">= 80 %",
    )
    calls = tool_cases(rng, n)
    replies = generate(engines, calls)
    samples["tool calls"] = replies[:3]
    read = [read_call(text) for text in replies]
    named = sum(
        got is not None and got[0] == case.tool for got, case in zip(read, calls, strict=True)
    )
    right = sum(
        got is not None and got == (case.tool, case.arguments)
        for got, case in zip(read, calls, strict=True)
    )
    rows.append(row("tool call: JSON with the right name", named, n, ">= 95 %"))
    rows.append(row("tool call: right arguments", right, n, ">= 80 %"))
    named_cases = tool_cases(random.Random(EVALUATION_SEED + 1), n, naming_task)
    copied = [read_call(text) for text in generate(engines, named_cases)]
    whole = sum(
        got is not None and got == (case.tool, case.arguments)
        for got, case in zip(copied, named_cases, strict=True)
    )
    rows.append(row("tool call: a name of another script", whole, n))
    return rows, samples


def summary(rows: Sequence[Row]) -> list[Row]:
    """Average what the targets are stated for: presence over dimensions, and well-formedness."""

    def pooled(name: str, prefix: str, target: str) -> Row:
        chosen = [
            r for r in rows if r.name.startswith(prefix) and not r.name.endswith(": no_emoji")
        ]
        hits = sum(round(r.share * r.n) for r in chosen)
        return row(name, hits, sum(r.n for r in chosen), target)

    return [
        pooled("one preference, averaged over dimensions", "one preference: ", ">= 90 %"),
        pooled("well formed, one preference", "well formed: one preference: ", ">= 95 %"),
        pooled("well formed, all rows", "well formed: ", ">= 95 %"),
    ]


def main() -> None:
    """Parse the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description="Evaluate the bundled model.")
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--n", type=int, default=504, help="generations a row")
    parser.add_argument("--per-dimension", type=int, default=504)
    parser.add_argument("--quick", action="store_true", help="a few generations, nothing written")
    options = parser.parse_args()
    n, per_dimension = (18, 8) if options.quick else (options.n, options.per_dimension)
    with pool(options.model) as engines:
        rows, samples = evaluate(engines, n, per_dimension)
    rows = summary(rows) + rows
    for r in rows:
        print(f"{r.name:<52} {r.share:7.1%}  [{r.low:6.1%}, {r.high:6.1%}]  n={r.n:<6} {r.target}")
    out = options.out or (None if options.quick else RESULT)
    if out is not None:
        content = {
            "sampling": {"temperature": 0.7, "top_k": 20, "top_p": 0.9},
            "seed": EVALUATION_SEED,
            "held_out": "questions, preference wordings, pairs, values of copy tasks",
            "rows": [asdict(r) for r in rows],
            "samples": samples,
        }
        out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
