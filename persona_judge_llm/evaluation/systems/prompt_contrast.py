"""Rivals that need nothing but prompts: Context Steering, and classifier-free guidance."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.evaluation.systems.asking import prompt_ids, side_ids
from persona_judge_llm.evaluation.systems.checkpoints import engine_writer
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply


class Contrast(LogitsProcessor):
    """Makes lp0 + sum of lambda_i (lp_i - lp0) of rows p0, p_1 ... p_n.

    Args:
        strengths: lambda_1 ... lambda_n.
        temperature: divides every row's logits before they are mixed.
    """

    def __init__(self, strengths: Sequence[float], temperature: float = 1.0) -> None:
        self._strengths, self._temperature = tuple(strengths), temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # noqa: ARG002
        """Return the mixture for every row, [rows, vocab]."""
        logs = torch.log_softmax(scores.float() / self._temperature, dim=-1)
        plain, mixed = logs[0], logs[0]
        for row, strength in zip(logs[1:], self._strengths, strict=True):
            # What the plain prompt rules out stays ruled out.
            mixed = mixed + strength * (row - plain).masked_fill(plain.isneginf(), 0.0)
        return mixed.expand(len(scores), -1)


def open_context_steering(options: Options, engine: PersonaJudge) -> Reply:
    """Context Steering: what each context adds to the plain prompt's log probabilities, weighted.

    Needs nothing of the user's own. Keys: "strength" (lambda; one number for all contexts, default
    1), "per" ("side", the default, or "preference": what is one context). n+1 rows a token, in one
    batch with a KV cache. The temperature divides before mixing, top-k and top-p cut after it;
    greedy takes the likeliest token of the mixture at temperature 1.

    Source: arXiv 2405.01768, in the form for several contexts.
    """
    writer = engine_writer(engine)
    strength = options.number("strength", 1.0)
    per = options.choice("per", ("side", "preference"), "side")

    def reply(case: Case) -> Answer:
        sides = [side for side in (case.side_a, case.side_b) if side]
        if per == "preference":
            sides = [(text,) for side in sides for text in side]
        rows = [prompt_ids(writer, case), *(side_ids(writer, case, side) for side in sides)]
        params = writer.resolved(case.params)
        mixing = Contrast([strength] * len(sides), params.temperature or 1.0)
        after = dataclasses.replace(params, temperature=1.0 if params.temperature else 0.0)
        return writer.write(rows, after, mixing)

    return reply


def open_guidance(options: Options, engine: PersonaJudge) -> Reply:
    """Classifier-free guidance as transformers has it: scale * lp + (1 - scale) * lp_negative.

    Needs nothing of the user's own. Keys: "scale" (gamma, default 1.5), "against" ("plain", the
    default: all preferences in one prompt, against the prompt without any; or "side_b": side A
    against side B, which with a scale w from 0 to 1 is the blend A^w B^(1-w)). Two passes of one
    row a token, each with a KV cache, by `generate(guidance_scale=, negative_prompt_ids=)`. A case
    without side B is answered under A alone.

    Source: arXiv 2306.17806; transformers' `guidance_scale`.
    """
    writer = engine_writer(engine)
    scale = options.number("scale", 1.5)
    against = options.choice("against", ("plain", "side_b"), "plain")

    def reply(case: Case) -> Answer:
        if not case.side_a:
            raise InvalidParameterError("side_a", case.side_a, "a preference, to guide towards it")
        wanted = prompt_ids(writer, case, "direct" if against == "plain" else "single_a")
        if against == "side_b" and not case.side_b:
            return writer.write([wanted], case.params)
        other = prompt_ids(writer, case, "plain" if against == "plain" else "single_b")
        return writer.write([wanted], case.params, guidance=(scale, other))

    return reply
