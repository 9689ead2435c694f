"""ARGS: a reward model has a say in every token."""

import torch
from torch import Tensor
from transformers import LogitsProcessor

from persona_judge_llm.decoding.text_stream import Detokenize
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.evaluation.reward_models import RewardModel
from persona_judge_llm.evaluation.reward_specs import RewardSpec
from persona_judge_llm.evaluation.systems.asking import PROMPTS, prompt_ids
from persona_judge_llm.evaluation.systems.checkpoints import engine_writer
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply


class RewardGuidance(LogitsProcessor):
    """Keeps the k largest logits, each with weight times the reward of the text that it makes.

    Args:
        model: rates answers.
        score: which of its scores is the reward.
        question: what is answered.
        detokenize: of the model that writes.
        prompt_tokens: where the answer begins.
        weight: of the reward.
        candidates: k.
    """

    def __init__(
        self,
        model: RewardModel,
        score: str,
        question: str,
        detokenize: Detokenize,
        *,
        prompt_tokens: int,
        weight: float,
        candidates: int,
    ) -> None:
        self._model, self._score = model, score
        self._question, self._detokenize = question, detokenize
        self._begin, self._weight, self._candidates = prompt_tokens, weight, candidates

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the guided scores, minus infinity for all but k tokens; [1, vocab]."""
        best = scores[0].float().topk(min(self._candidates, scores.shape[-1]))
        written = input_ids[0, self._begin :].tolist()
        texts = [self._detokenize([*written, token]) for token in best.indices.tolist()]
        found = [self._model.score(self._question, text).scores[self._score] for text in texts]
        rewards = torch.tensor(found, device=scores.device)
        guided = torch.full_like(scores, -torch.inf, dtype=torch.float32)
        guided[0, best.indices] = best.values + self._weight * rewards
        return guided


def open_args(options: Options, engine: PersonaJudge) -> Reply:
    """ARGS: the next token by logit + weight * reward of the text with it, among the k likeliest.

    Needs a reward model that rates unfinished answers. Keys: "reward" (as `RewardSpec.of` reads it,
    such as "classifier:FOLDER"), "score" (which of its scores, if it has several),
    "trust_remote_code" (as for `RewardModel`), "weight" (default 1), "candidates" (k, default 10),
    "prompt" (default "plain"). Temperature 0 is the paper's greedy form, others its stochastic one.
    One forward of the model a token, and k of the reward model, which reads each text anew: so its
    vocabulary may be any.

    Source: arXiv 2402.01694.
    """
    weight, candidates = options.number("weight", 1.0), options.whole("candidates", 10, low=1)
    prompt = options.choice("prompt", PROMPTS, "plain")
    spec = RewardSpec.of(options.text("reward"))
    writer = engine_writer(engine)
    trusted = options.flag("trust_remote_code")
    model = RewardModel(spec, trust_remote_code=trusted, device=str(writer.model.device))
    names = tuple(model.score("x", "x").scores)
    score = options.text("score", names[0] if len(names) == 1 else "")
    if score not in names:
        raise InvalidParameterError("score", score, f"one of {names}")

    def reply(case: Case) -> Answer:
        asked = prompt_ids(writer, case, prompt)
        guidance = RewardGuidance(
            model,
            score,
            case.prompt,
            writer.detokenize,
            prompt_tokens=len(asked),
            weight=weight,
            candidates=candidates,
        )
        return writer.write([asked], case.params, guidance)

    return reply
