"""Wrong decoders do not pass: each known mistake is made in a copy, and the tests must fail.

The copy holds the package and the tests of laws, decoders and model families. Every mutant names
the tests that have to notice it. A run without any change shows that the copy itself passes.
"""

from pathlib import Path

import pytest

from tests.mutation.mutants import Mutant, assert_noticed, chosen, copied, each_file, outcome

LAW = "tests/unit/decoding/test_law.py"
DECODERS = "tests/unit/decoding/test_decoders.py"
PROPOSALS = "tests/unit/decoding/test_proposals.py"
UNIFORMS = "tests/unit/decoding/test_uniforms.py"
FAMILIES = "tests/unit/models/test_families.py"
CONSTRAINED_LAW = "tests/unit/decoding/test_constrained_law.py"
CONSTRAINING = "tests/unit/decoding/test_constraining.py"
CONSTRAINING_FAILURES = "tests/unit/decoding/test_constraining_failures.py"
GRAMMARS = "tests/unit/models/test_grammars.py"
FOLLOWING = "tests/unit/models/test_following.py"
CONSTRAINTS = "tests/unit/test_engine_constraints.py"
JUDGING = "tests/unit/test_judging.py"
RULES = "tests/unit/test_rules.py"
HALF = "tests/unit/models/test_half.py"
INT8_PARTS = "tests/unit/models/test_int8_parts.py"

pytestmark = pytest.mark.slow


CORE = "persona_judge_llm/"
SAMPLES = {"LAW_SAMPLES": "20000"}

MUTANTS = {
    # --- the verdict ---
    "acceptance ratio swapped": Mutant(
        CORE + "judging.py",
        "ratio = judge_probs / draft_probs.clamp_min",
        "ratio = draft_probs / judge_probs.clamp_min",
        (JUDGING,),
    ),
    "acceptance ratio swapped, by the law alone": Mutant(
        CORE + "judging.py",
        "ratio = judge_probs / draft_probs.clamp_min",
        "ratio = draft_probs / judge_probs.clamp_min",
        (LAW, "-k", "reference and fixed"),
    ),
    "acceptance of the wrong side in the dual loop": Mutant(
        CORE + "judging.py",
        "agreement = acceptance_probs(judge_probs, draft_probs)",
        "agreement = acceptance_probs(draft_probs, judge_probs)",
        (LAW, "-k", "dual and lambda"),
    ),
    "token drawn from the draft in the dual loop": Mutant(
        CORE + "judging.py",
        "tokens = judge.draw(token_uniforms)",
        "tokens = draft.draw(token_uniforms)",
        (DECODERS, "-k", "own_argmax"),
    ),
    "residual of the wrong side": Mutant(
        CORE + "judging.py",
        "residual = (judge_probs - draft_probs).clamp_min(0.0)",
        "residual = (draft_probs - judge_probs).clamp_min(0.0)",
        (JUDGING,),
    ),
    "residual of the wrong side, by the law alone": Mutant(
        CORE + "judging.py",
        "residual = (judge_probs - draft_probs).clamp_min(0.0)",
        "residual = (draft_probs - judge_probs).clamp_min(0.0)",
        (LAW, "-k", "reference and fixed"),
    ),
    # --- windows and roles ---
    "no bonus token in the dual loop": Mutant(
        CORE + "decoding/seats.py",
        "bonus = windows.drafted == windows.length",
        "bonus = windows.drafted == windows.length - 1",
        (DECODERS, "-k", "windows_are_full"),
    ),
    "windows that never end by a bonus token": Mutant(
        CORE + "decoding/seats.py",
        "windows.advance(bonus | ~drawn.accepted, alive)",
        "windows.advance(~drawn.accepted, alive)",
        (DECODERS, "-k", "windows_are_full"),
    ),
    "bonus token subtracts the draft in the reference loop": Mutant(
        CORE + "judging.py",
        "no_draft = torch.zeros_like(draft_probs[:, :1])",
        "no_draft = draft_probs[:, -1:]",
        (LAW, "-k", "reference and alternate"),
    ),
    "roles never swapped": Mutant(
        CORE + "judging.py",
        "return window % turns.sum(-1) < turns[..., 1]",
        "return 0 * window % turns.sum(-1) < turns[..., 1]",
        (DECODERS, "-k", "strict_turns"),
    ),
    "roles swapped once and never back": Mutant(
        CORE + "judging.py",
        "return window % turns.sum(-1) < turns[..., 1]",
        "return window.clamp(max=1) % turns.sum(-1) < turns[..., 1]",
        (DECODERS, "-k", "strict_turns"),
    ),
    "turns of A and B mixed up": Mutant(
        CORE + "judging.py",
        "< turns[..., 1]",
        "< turns[..., 0]",
        (LAW, "-k", "reference and fixed"),
    ),
    "rows of A and B mixed up": Mutant(
        CORE + "decoding/seats.py",
        "draft=distributions.select(torch.where(b_judges, self._law_a, self._law_b))",
        "draft=distributions.select(torch.where(b_judges, self._law_b, self._law_a))",
        (DECODERS, "-k", "strict_turns"),
    ),
    # --- taking back ---
    "judge rewound by one too few": Mutant(
        CORE + "decoding/reference.py",
        "judge.forget([drafted - n for n in accepted])",
        "judge.forget([max(drafted - n - 1, 0) for n in accepted])",
        (DECODERS, "-k", "token_for_token"),
    ),
    "draft rewound by one too few": Mutant(
        CORE + "decoding/reference.py",
        "max(drafted - 1 - n, 0)",
        "max(drafted - 2 - n, 0)",
        (DECODERS, "-k", "token_for_token"),
    ),
    "wrong guesses rewound by one too few": Mutant(
        CORE + "decoding/dual.py",
        "self._context.rewind([spare[place] for place in seats.row_task])",
        "self._context.rewind([max(spare[place] - 1, 0) for place in seats.row_task])",
        (PROPOSALS, "-k", "as_they_are"),
    ),
    "wrong guesses never rewound": Mutant(
        CORE + "models/layout.py",
        "self.advance([-count for count in counts])",
        "self.advance([0 * count for count in counts])",
        (PROPOSALS, "-k", "as_they_are and Hugging"),
    ),
    "rewind forgotten by the slot cache": Mutant(
        CORE + "models/layout.py",
        "self.advance([-count for count in counts])",
        "self.advance([0 * count for count in counts])",
        (FAMILIES, "-k", "Llama"),
    ),
    "an assistant that keeps its wrong guesses": Mutant(
        CORE + "decoding/assistant.py",
        "self._sure = min(self._sure, len(self._text))",
        "self._sure = min(self._sure, len(self._text) + 1)",
        (PROPOSALS, "-k", "wrong_guess"),
    ),
    # --- the walk over guesses ---
    "the walk goes on after a wrong guess": Mutant(
        CORE + "decoding/seats.py",
        "alive = alive & (self.last == guesses[:, place])",
        "alive = alive & (guesses[:, place] >= 0)",
        (PROPOSALS, "-k", "as_they_are and history"),
    ),
    "the walk begins again after a wrong guess": Mutant(
        CORE + "decoding/seats.py",
        "alive = alive & (self.last == guesses[:, place])",
        "alive = self.last == guesses[:, place]",
        (PROPOSALS, "-k", "own_guesses"),
    ),
    "windows of texts that stand still go on": Mutant(
        CORE + "decoding/seats.py",
        "windows.advance(bonus | ~drawn.accepted, alive)",
        "windows.advance(bonus | ~drawn.accepted, torch.ones_like(alive))",
        (PROPOSALS, "-k", "own_guesses"),
    ),
    "last tokens of texts that stand still go on": Mutant(
        CORE + "decoding/seats.py",
        "self.last = torch.where(alive, token, self.last)",
        "self.last = token",
        (PROPOSALS, "-k", "own_guesses"),
    ),
    "random numbers of one token for a pass of several": Mutant(
        CORE + "decoding/seats.py",
        "self._uniforms.advance([2 * count for count, _ in decoded])",
        "self._uniforms.advance([2 for _ in decoded])",
        (PROPOSALS, "-k", "as_they_are and history"),
    ),
    "random numbers of wrong guesses used up": Mutant(
        CORE + "decoding/seats.py",
        "self._uniforms.advance([2 * count for count, _ in decoded])",
        "self._uniforms.advance([2 * places for _ in decoded])",
        (PROPOSALS, "-k", "as_they_are and history"),
    ),
    "the same random numbers at every place of a pass": Mutant(
        CORE + "decoding/seats.py",
        "uniforms[:, 2 * place :], alive",
        "uniforms, alive",
        (PROPOSALS, "-k", "as_they_are and history"),
    ),
    "random numbers of one token for the next, by the law alone": Mutant(
        CORE + "decoding/seats.py",
        "uniforms[:, 2 * place :], alive",
        "uniforms, alive",
        (LAW, "-k", "guessed"),
    ),
    # --- slots ---
    "positions of the shorter row wrong": Mutant(
        CORE + "models/layout.py",
        "self._set(held[columns.row] + columns.step, columns.owner)",
        "self._set(held.max() + 0 * columns.row + columns.step, columns.owner)",
        (FAMILIES, "-k", "Llama"),
    ),
    "positions counted by slots in prompts": Mutant(
        CORE + "models/slot_context.py",
        "places += [(prompt[p], p, 1 << row)",
        "places += [(prompt[p], len(places), 1 << row)",
        (DECODERS, "-k", "own_argmax"),
    ),
    "sliding window one token too wide": Mutant(
        CORE + "models/layout.py",
        "> self.positions[:, :, None] - window",
        ">= self.positions[:, :, None] - window",
        (FAMILIES, "-k", "Mistral or Gemma"),
    ),
    "slots behind a row's end attended to": Mutant(
        CORE + "models/layout.py",
        "visible = (slot <= self.slots[:, :, None]) & owned",
        "visible = (slot <= self.end) & owned",
        (FAMILIES, "-k", "Llama"),
    ),
    "slots of the other side attended to": Mutant(
        CORE + "models/layout.py", "& own == own", "& own >= 0", (DECODERS, "-k", "own_argmax")
    ),
    "slots of the other side attended to, by the law alone": Mutant(
        CORE + "models/layout.py", "& own == own", "& own >= 0", (LAW, "-k", "share_a_beginning")
    ),
    "the beginning owned by one side alone": Mutant(
        CORE + "models/slot_context.py",
        "everyone = (1 << len(self._prompts)) - 1",
        "everyone = 1",
        (LAW, "-k", "share_a_beginning"),
    ),
    "a beginning one token too long": Mutant(
        CORE + "models/slot_context.py",
        "shared = min(shared, common_length(first, torch.tensor(prompt)))",
        "shared = min(shared, common_length(first, torch.tensor(prompt)) + 1)",
        (DECODERS, "-k", "own_argmax"),
    ),
    # --- coming and going ---
    "random numbers mixed up when one leaves": Mutant(
        CORE + "decoding/seats.py",
        "self._uniforms.keep(places)",
        "self._uniforms.keep(places[::-1])",
        (DECODERS, "-k", "as_if_alone"),
    ),
    "rows mixed up when one leaves": Mutant(
        CORE + "models/slot_context.py",
        "layer.move(moves, end)",
        "layer.move(moves[:0], end)",
        (DECODERS, "-k", "as_if_alone"),
    ),
    "windows mixed up when one leaves": Mutant(
        CORE + "decoding/seats.py",
        "self.number, self.drafted = self.number[kept], self.drafted[kept]",
        "self.number, self.drafted = self.number[: len(kept)], self.drafted[: len(kept)]",
        (DECODERS, "-k", "as_if_alone"),
    ),
    "penalties forgotten when one joins": Mutant(
        CORE + "decoding/seats.py",
        "self._seen = torch.cat([self._seen_rows(), other._seen_rows()])",
        "self._seen = 0 * torch.cat([self._seen_rows(), other._seen_rows()]) > 0",
        (DECODERS, "-k", "as_if_alone"),
    ),
    "newcomers begin where the others are in their random numbers": Mutant(
        CORE + "decoding/uniforms.py",
        "self._used += other._used",
        "self._used += [max(self._used)] * len(other._used)",
        (UNIFORMS,),
    ),
    "one that left still gets tokens": Mutant(
        CORE + "decoding/dual.py",
        "for index, tokens in decoded if index not in self._finished]",
        "for index, tokens in decoded]",
        (DECODERS, "-k", "wave_under_way"),
    ),
    # --- the prefix cache ---
    "the prefix cache reuses a token that differs": Mutant(
        CORE + "models/prefix_cache.py",
        "return int(differing[0]) if len(differing) else shortest",
        "return min(int(differing[0]) + 1, shortest) if len(differing) else shortest",
        (DECODERS, "-k", "earlier_calls"),
    ),
    "the prefix cache reuses the last token too": Mutant(
        CORE + "models/prefix_cache.py",
        "wanted = torch.tensor(prompt[:-1])",
        "wanted = torch.tensor(prompt)",
        (DECODERS, "-k", "earlier_calls"),
    ),
    "the prefix cache takes the slots of another row": Mutant(
        CORE + "models/prefix_cache.py",
        "self.snapshot.slots[self.row][start:end]",
        "self.snapshot.slots[0][start:end]",
        (DECODERS, "-k", "earlier_calls"),
    ),
    "the prefix cache takes slots for positions": Mutant(
        CORE + "models/prefix_cache.py",
        "self.snapshot.slots[self.row][start:end]",
        "torch.arange(start, end)",
        (DECODERS, "-k", "earlier_calls"),
    ),
    "the prefix cache takes the slots before, by the law alone": Mutant(
        CORE + "models/prefix_cache.py",
        "self.snapshot.slots[self.row][start:end]",
        "(self.snapshot.slots[self.row][start:end] - 1).clamp_min(0)",
        (LAW, "-k", "earlier_call"),
    ),
    "NaN of one call kept for whoever begins like it": Mutant(
        CORE + "models/prefix_cache.py",
        " or not snapshot.is_finite",
        "",
        (DECODERS, "-k", "begin_like_it"),
    ),
    # --- candidates and broken numbers ---
    "candidates in the order of their size": Mutant(
        CORE + "candidates.py",
        """    ids, order = ids.sort(dim=1)
    return Candidates(logits_to_probs(values.gather(1, order), params), ids)""",
        """    return Candidates(logits_to_probs(values, params), ids)""",
        (DECODERS, "-k", "few_candidates"),
    ),
    "NaN left behind for whoever sits there next": Mutant(
        CORE + "models/slots.py",
        "buffer[targets, :, end:] = 0",
        "buffer[targets, :, end:] *= 1",
        (DECODERS, "-k", "fails_that_task_alone"),
    ),
    "NaN left behind for whoever joins next": Mutant(
        CORE + "models/slots.py",
        "buffer[lines : lines + new, :, end:] = 0",
        "buffer[lines : lines + new, :, end:] *= 1",
        (DECODERS, "-k", "fails_that_task_alone"),
    ),
    "NaN is token 0 where the sampling is greedy": Mutant(
        CORE + "sampling.py",
        "torch.where(params.greedy & ~largest_score.isnan(), one_hot, probs)",
        "torch.where(params.greedy, one_hot, probs)",
        (DECODERS, "-k", "either_side"),
    ),
    # --- texts that are held to a grammar ---
    "what is allowed is ruled out": Mutant(
        CORE + "decoding/seats.py",
        "masked_fill(~allowed[sides], -torch.inf)",
        "masked_fill(allowed[sides], -torch.inf)",
        (CONSTRAINING, "-k", "judges_likeliest"),
    ),
    "only side B is held to the grammar": Mutant(
        CORE + "decoding/seats.py",
        "masked_fill(~allowed[sides], -torch.inf)",
        "masked_fill(~allowed[sides] & (rows % 2 == 1)[:, None], -torch.inf)",
        (CONSTRAINING, "-k", "both_sides"),
    ),
    "the draft is not held to the grammar, by the law alone": Mutant(
        CORE + "decoding/seats.py",
        """        if held:
            logits = self._restricted(logits, held)
        # A rule blends what may come: one side cannot veto all of it.
        laws = self._blending.laws(logits, self._evidence)
        distributions = candidates(laws, self._params, self._seen)
        b_judges = judged_by_b(windows.number, windows.turns)
        judge = distributions.select(""",
        """        free = logits
        if held:
            logits = self._restricted(logits, held)
        laws = self._blending.laws(logits, self._evidence)
        distributions = candidates(free, self._params, self._seen)
        b_judges = judged_by_b(windows.number, windows.turns)
        judge = candidates(laws, self._params, self._seen).select(""",
        (CONSTRAINED_LAW, "-k", "masked_sides"),
    ),
    "texts are held to each other's grammars": Mutant(
        CORE + "decoding/seats.py",
        "sides = [i for i, p in enumerate(places) for _ in self.tasks[p].prompts]",
        "sides = [i - 1 for i, p in enumerate(places) for _ in self.tasks[p].prompts]",
        (CONSTRAINING, "-k", "as_if_alone"),
    ),
    "grammars mixed up when one leaves": Mutant(
        CORE + "decoding/seats.py",
        "self._followings.keep(places)",
        "self._followings.keep(sorted(places))",
        (CONSTRAINING, "-k", "join_and_leave"),
    ),
    "grammars mixed up when one joins": Mutant(
        CORE + "decoding/constraining.py",
        "self._followed += other._followed",
        "self._followed = other._followed + self._followed",
        (CONSTRAINING, "-k", "join_and_leave"),
    ),
    "grammars of texts that stand still go on": Mutant(
        CORE + "decoding/seats.py",
        "self._followings.places(alive.tolist())",
        "self._followings.places([True] * len(alive))",
        (CONSTRAINING, "-k", "leave_held_texts"),
    ),
    "a replaced token has the probability of the one that was drawn": Mutant(
        CORE + "decoding/seats.py",
        "judge_prob = judge_prob.masked_fill(replaced, 1.0)",
        "judge_prob = judge_prob.masked_fill(replaced & False, 1.0)",
        (CONSTRAINING_FAILURES, "-k", "is_certain"),
    ),
    "a failed grammar is forgotten": Mutant(
        CORE + "decoding/constraining.py",
        "self.failed[place] = error",
        "self.failed[-1] = error",
        (CONSTRAINING_FAILURES, "-k", "fails_its_own_text_alone"),
    ),
    "texts move the grammar that they share": Mutant(
        CORE + "models/following.py",
        "self._matcher.deep_copy(), list(self._ending)",
        "self._matcher, list(self._ending)",
        (GRAMMARS, "-k", "no_mark"),
    ),
    "texts use up the ending that they share": Mutant(
        CORE + "models/following.py",
        "self._matcher.deep_copy(), list(self._ending)",
        "self._matcher.deep_copy(), self._ending",
        (GRAMMARS, "-k", "no_mark"),
    ),
    "the room is one token too large": Mutant(
        CORE + "models/following.py",
        "if self._room < 0:\n            return None",
        "if self._room < -1:\n            return None",
        (FOLLOWING, "-k", "ends_in_time"),
    ),
    "no room for the end of sequence": Mutant(
        CORE + "models/grammars.py",
        "reserve = 0 if constraint.optional else 1",
        "reserve = 0",
        (FOLLOWING, "-k", "ends_in_time"),
    ),
    "an ending is kept whether there is room for it or not": Mutant(
        CORE + "models/following.py",
        "if len(known) <= self._room and ",
        "if ",
        (FOLLOWING, "-k", "ends_in_time or whole"),
    ),
    "an ending is kept whether it still fits or not": Mutant(
        CORE + "models/following.py",
        " and self._matcher.validate_tokens(whole) == len(whole)",
        "",
        (FOLLOWING, "-k", "ends_in_time"),
    ),
    "a token that was not taken stays in the text": Mutant(
        CORE + "models/following.py",
        "            self._matcher.rollback(1)\n",
        "",
        (FOLLOWING, "-k", "ends_in_time"),
    ),
    "a limit that is one token too small passes": Mutant(
        CORE + "planning.py",
        "compiled.least_tokens > room",
        "compiled.least_tokens > room + 1",
        (CONSTRAINTS, "-k", "too_small"),
    ),
    # --- rules that blend ---
    "evidence of a token that was only guessed": Mutant(
        CORE + "decoding/blending.py",
        "torch.where(alive[group.places, None], EVIDENCE_KEPT * held + says, held)",
        "EVIDENCE_KEPT * held + says",
        (PROPOSALS, "-k", "blend"),
    ),
    "evidence stays where a task left": Mutant(
        CORE + "decoding/seats.py",
        "        self._evidence = self._evidence[kept]\n",
        "        self._evidence = self._evidence[: len(kept)]\n",
        (PROPOSALS, "-k", "blend"),
    ),
    "evidence of who comes later is lost": Mutant(
        CORE + "decoding/seats.py",
        "torch.cat([self._evidence, other._evidence])",
        "torch.cat([self._evidence, torch.zeros_like(other._evidence)])",
        (RULES, "-k", "many_rules"),
    ),
    "evidence stays where a task left, in a mixed batch": Mutant(
        CORE + "decoding/seats.py",
        "        self._evidence = self._evidence[kept]\n",
        "        self._evidence = self._evidence[: len(kept)]\n",
        (RULES, "-k", "many_rules"),
    ),
    "a rule is taken for another": Mutant(
        CORE + "planning.py",
        'Blend(cast("BlendRule", rule), shares',
        'Blend(cast("BlendRule", rule.replace("balance", "compose")), shares',
        (RULES, "-k", "asked_for"),
    ),
    "evidence is never lost": Mutant(
        CORE + "decoding/blending.py",
        "EVIDENCE_KEPT * held",
        "held",
        (RULES, "-k", "draws_from_the_blend"),
    ),
    "the side that is ahead is spoken up for": Mutant(
        CORE + "rules.py",
        "shares.log() - evidence",
        "shares.log() + evidence",
        (RULES, "-k", "closed_form or spoken_up"),
    ),
    # --- weights ---
    "a row of half-precision weights follows its neighbours": Mutant(
        CORE + "models/weights/half.py",
        "max(rows, _filled(rows))",
        "rows",
        (HALF, "-k", "neighbours"),
    ),
    "weights in half precision without a scale": Mutant(
        CORE + "models/weights/half.py",
        "return 2.0 ** min(",
        "return 1.0 or min(",
        (HALF, "-k", "held_exactly"),
    ),
    "weights that half precision rounds": Mutant(
        CORE + "models/weights/half.py",
        "least = largest * scale * 2.0**-24",
        "least = largest * scale * 2.0**-10",
        (HALF, "-k", "would_be_rounded"),
    ),
    "one scale for all 8-bit inputs": Mutant(
        CORE + "models/weights/int8_parts.py",
        "inputs.abs().amax(-1, keepdim=True)",
        "inputs.abs().amax()",
        (INT8_PARTS, "-k", "neighbours"),
    ),
    "8-bit inputs without their fine part": Mutant(
        CORE + "models/weights/int8_parts.py",
        "alpha=1 / _FINER",
        "alpha=0.0",
        (INT8_PARTS, "-k", "next_to_nothing"),
    ),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(
        tmp_path_factory.mktemp("original"),
        ("persona_judge_llm", "tests/unit/decoding", "tests/unit/models"),
        ("pyproject.toml", "tests/conftest.py", JUDGING, CONSTRAINTS, RULES),
    )


TELLING = (
    "acceptance ratio swapped",
    "acceptance of the wrong side in the dual loop",
    "residual of the wrong side",
    "no bonus token in the dual loop",
    "roles never swapped",
    "roles swapped once and never back",
    "rows of A and B mixed up",
    "judge rewound by one too few",
    "slots of the other side attended to",
    "rows mixed up when one leaves",
    "one that left still gets tokens",
    "the prefix cache reuses a token that differs",
    "the prefix cache takes the slots of another row",
    "only side B is held to the grammar",
    "texts are held to each other's grammars",
)
NAMES = chosen(MUTANTS, TELLING)


@pytest.mark.parametrize("tests", list(each_file(MUTANTS[n] for n in NAMES)), ids="/".join)
def test_the_unchanged_copy_passes(original: Path, tests: tuple[str, ...]) -> None:
    status, output = outcome(original, tests, **SAMPLES)
    assert status == pytest.ExitCode.OK, output


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_makes_a_test_fail(original: Path, tmp_path: Path, name: str) -> None:
    assert_noticed(original, tmp_path / "mutant", MUTANTS[name], **SAMPLES)
