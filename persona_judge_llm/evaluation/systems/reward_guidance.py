"""ARGS: a reward model has a say in every token."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LogitsProcessor,
)

from persona_judge_llm.decoding.text_stream import Detokenize
from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.errors import InvalidParameterError, ModelLoadError, NumericalError
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.evaluation.systems.asking import PROMPTS, prompt_ids
from persona_judge_llm.evaluation.systems.checkpoints import engine_model, engine_writer
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply


class Rewarding:
    """A sequence classifier that rates answers.

    Args:
        path: folder or hub id; safetensors only, no remote code.
        device: where it goes.
        form: "pair" (question and answer as two texts), "chat" (by its chat template), or "auto".
        output: which of its outputs is the reward.

    Raises:
        ModelLoadError: not found, or without a trained head.
        InvalidParameterError: an output or form that it does not have.
    """

    def __init__(self, path: str, device: torch.device, form: str, output: int) -> None:
        kind: Any = AutoModelForSequenceClassification
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            model, found = kind.from_pretrained(
                path, use_safetensors=True, trust_remote_code=False, output_loading_info=True
            )
        except Exception as error:  # of many libraries
            raise ModelLoadError(f"cannot load the reward model {path!r}: {error}") from error
        if missing := sorted(found["missing_keys"]):
            raise ModelLoadError(
                f"{path!r} lacks {missing[0]!r}, which would be random numbers: it is no trained "
                "sequence classifier"
            )
        if output >= model.config.num_labels:
            wanted = f"below {model.config.num_labels}, the outputs of {path!r}"
            raise InvalidParameterError("output", output, wanted)
        if form == "chat" and not self._tokenizer.chat_template:
            raise InvalidParameterError("form", form, f"'pair': {path!r} has no chat template")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        model.config.pad_token_id = self._tokenizer.pad_token_id
        self._model: Any = model.eval().to(device)
        self._chat = form == "chat" or (form == "auto" and bool(self._tokenizer.chat_template))
        self._output = output

    def rewards(self, question: str, answers: Sequence[str]) -> Tensor:
        """Return the rewards of answers to one question, [answers] float32.

        Raises:
            NumericalError: one of them is NaN.
        """
        if self._chat:
            texts = [self._conversation(question, answer) for answer in answers]
            batch = self._tokenizer(
                texts, add_special_tokens=False, padding=True, return_tensors="pt"
            )
        else:
            questions = [question] * len(answers)
            batch = self._tokenizer(
                questions,
                list(answers),
                padding=True,
                split_special_tokens=True,
                return_tensors="pt",
            )
        with torch.inference_mode():
            outputs = self._model(**batch.to(self._model.device))
        rewards: Tensor = outputs.logits[:, self._output].float()
        if bool(rewards.isnan().any()):
            raise NumericalError("the reward model returned NaN; load it in another dtype")
        return rewards

    def _conversation(self, question: str, answer: str) -> str:
        turns = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False))


class RewardGuidance(LogitsProcessor):
    """Keeps the k largest logits, each with weight times the reward of the text that it makes.

    Args:
        rewarding: rates answers.
        question: what is answered.
        detokenize: of the model that writes.
        prompt_tokens: where the answer begins.
        weight: of the reward.
        candidates: k.
    """

    def __init__(
        self,
        rewarding: Rewarding,
        question: str,
        detokenize: Detokenize,
        *,
        prompt_tokens: int,
        weight: float,
        candidates: int,
    ) -> None:
        self._rewarding, self._question, self._detokenize = rewarding, question, detokenize
        self._begin, self._weight, self._candidates = prompt_tokens, weight, candidates

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the scores, [1, vocab]."""
        best = scores[0].float().topk(min(self._candidates, scores.shape[-1]))
        written = input_ids[0, self._begin :].tolist()
        texts = [self._detokenize([*written, token]) for token in best.indices.tolist()]
        rewards = self._rewarding.rewards(self._question, texts).to(scores.device)
        guided = torch.full_like(scores, -torch.inf, dtype=torch.float32)
        guided[0, best.indices] = best.values + self._weight * rewards
        return guided


def open_args(options: Options, engine: PersonaJudge) -> Reply:
    """ARGS: the next token by logit + weight * reward of the text with it, among the k likeliest.

    Needs a reward model, as a sequence classifier that rates unfinished answers. Keys: "reward"
    (folder or hub id), "weight" (default 1), "candidates" (k, default 10), "output" (which of its
    outputs, default 0), "form" ("pair", "chat", default "auto": by whether it has a chat template),
    "prompt" (default "plain"). Temperature 0 is the paper's greedy form, others its stochastic one.
    One forward of the model and k of the reward model a token, these without a cache; texts are
    tokenized anew for it, so that its vocabulary may be any.

    Source: arXiv 2402.01694.
    """
    weight, candidates = options.number("weight", 1.0), options.whole("candidates", 10, low=1)
    form = options.choice("form", ("auto", "pair", "chat"), "auto")
    prompt = options.choice("prompt", PROMPTS, "plain")
    output = options.whole("output", 0)
    device = engine_model(engine).device
    rewarding = Rewarding(options.text("reward"), device, form, output)
    writer = engine_writer(engine)

    def reply(case: Case) -> Answer:
        asked = prompt_ids(writer, case, prompt)
        guidance = RewardGuidance(
            rewarding,
            case.prompt,
            writer.detokenize,
            prompt_tokens=len(asked),
            weight=weight,
            candidates=candidates,
        )
        return writer.write([asked], case.params, guidance)

    return reply
