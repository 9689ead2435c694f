"""Trained policies: one alone (MORLHF, MODPO), steered by reward tokens (RiC), several (MOD)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import LogitsProcessor

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.evaluation.systems.asking import (
    PROMPTS,
    check_template,
    filled,
    prompt_ids,
    raw_ids,
)
from persona_judge_llm.evaluation.systems.checkpoints import (
    base_of,
    check_one_vocabulary,
    opened,
    with_adapters,
)
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply
from persona_judge_llm.evaluation.systems.writing import Writer

RIC_TEMPLATE = "\n\nHuman: {question} {scores} \n\nAssistant:"


def open_policy(options: Options, engine: PersonaJudge) -> Reply:
    """Plain sampling from a policy that was trained for the preferences.

    Needs a trained checkpoint, such as one of MORLHF or MODPO, whole or as a LoRA adapter. Keys:
    "model" (folder or hub id; with "adapter" its base, by default the engine's own), "adapter",
    "prompt" (default "plain", for the training holds the preferences). One forward a token.

    Source: MORLHF, Li et al. 2020; MODPO, arXiv 2310.03708.
    """
    if not options.has("model") and not options.has("adapter"):
        raise InvalidParameterError("model", None, "given: a trained checkpoint, or an adapter")
    prompt = options.choice("prompt", PROMPTS, "plain")
    model, tokenizer = opened(base_of(options, engine), engine)
    if options.has("adapter"):
        wrapped: Any = with_adapters(model, (options.text("adapter"),))
        model = wrapped.merge_and_unload()
    writer = Writer(model, tokenizer)
    return lambda case: writer.write([prompt_ids(writer, case, prompt)], case.params)


def open_reward_tokens(options: Options, engine: PersonaJudge) -> Reply:
    """Rewards in Context: the rewards wanted stand in the prompt, as `<rm1_score> x <rm2_score> y`.

    Needs a checkpoint that was trained on prompts of that form. Keys: "model", "scores" (one number
    per reward, as its training normalised them), "template" (with {question} and {scores}; default
    `RIC_TEMPLATE`, a dialogue of HH-RLHF). Preference texts are not read: the scores stand for
    them. One forward a token.

    Source: arXiv 2402.10207.
    """
    model, scores = options.text("model"), options.numbers("scores")
    template = check_template(options.text("template", RIC_TEMPLATE), "question", "scores")
    wanted = " ".join(f"<rm{number}_score> {score}" for number, score in enumerate(scores, 1))
    writer = Writer(*opened(model, engine))

    def reply(case: Case) -> Answer:
        asked = filled(template, question=case.prompt, scores=wanted)
        return writer.write([raw_ids(writer, asked)], case.params)

    return reply


class Following(LogitsProcessor):
    """Adds up, weighted, the logits of the model that writes and of others that read along.

    Args:
        others: models, each with a KV cache of its own.
        weights: of the writing model, then of the others.
    """

    def __init__(self, others: Sequence[Any], weights: Sequence[float]) -> None:
        self._others, self._weights = others, weights
        self._caches: list[Any] = [None] * len(others)
        self._read = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the sum, [1, vocab]."""
        total = self._weights[0] * scores.float()
        unread = input_ids[:, self._read :]
        for number, (model, weight) in enumerate(zip(self._others, self._weights[1:], strict=True)):
            outputs = model(
                input_ids=unread.to(model.device),
                past_key_values=self._caches[number],
                use_cache=True,
            )
            self._caches[number] = outputs.past_key_values
            total = total + weight * outputs.logits[:, -1].float().to(total.device)
        self._read = input_ids.shape[1]
        return total


def open_mod(options: Options, engine: PersonaJudge) -> Reply:
    """Multi-objective decoding: the next token from the weighted sum of several policies' logits.

    Needs several policies with one vocabulary, each trained for one preference. Keys: "models",
    "weights" (sum to 1; default equal), "prompt" (default "plain"). One forward of each policy a
    token, each with a KV cache; all of them stay in memory.

    Source: arXiv 2406.18853, for policies trained under a KL penalty.
    """
    paths = options.texts("models")
    weights = options.shares("weights", len(paths))
    prompt = options.choice("prompt", PROMPTS, "plain")
    writers = [Writer(*opened(path, engine)) for path in paths]
    for path, other in zip(paths[1:], writers[1:], strict=True):
        check_one_vocabulary(writers[0], other, path)
    first, others = writers[0], [writer.model for writer in writers[1:]]

    def reply(case: Case) -> Answer:
        asked = prompt_ids(first, case, prompt)
        return first.write([asked], case.params, Following(others, weights))

    return reply
