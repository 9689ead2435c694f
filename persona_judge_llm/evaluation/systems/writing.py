"""`Writer`: transformers' `generate`, with tokens drawn by the engine's own function.

A system changes logits by `LogitsProcessor`s; what they make is cut and drawn from by
`sampling.logits_to_probs` and `draw`, in the last of them, which leaves one token possible. So
systems differ from the engine's rules in their distribution and in nothing else, and a seed
draws what it draws there.
"""

import dataclasses
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from persona_judge_llm.decoding.text_stream import TextStream
from persona_judge_llm.errors import ContextOverflowError
from persona_judge_llm.evaluation.cases import Answer
from persona_judge_llm.evaluation.systems.drawing import Drawing, Growing
from persona_judge_llm.models.defaults import eos_token_ids, sampling_defaults
from persona_judge_llm.models.huggingface import HuggingFaceModel
from persona_judge_llm.prompts import PromptBuilder, detokenizer
from persona_judge_llm.sampling import MAX_SEED, SamplingParams

# What would change the scores a second time, were it taken from the model's generation config.
_NEUTRAL: Final = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
}


class Writer:
    """Writes answers with one model, a causal one.

    Args:
        model: of transformers.
        tokenizer: the model's.

    Raises:
        UnsupportedModelError: not a causal language model.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        adapter = HuggingFaceModel(model)  # for what it finds out of the model, not to decode
        self.context_window, self.vocab_size = adapter.context_window, adapter.vocab_size
        self.model: Any = model
        self.tokenizer: Any = tokenizer
        self.prompts = PromptBuilder(tokenizer)
        self.detokenize = detokenizer(tokenizer)
        self.eos = eos_token_ids(model, tokenizer)

    def resolved(self, params: SamplingParams) -> SamplingParams:
        """Return the parameters with the model's own in the place of None, and a seed."""
        filled = params.resolved(sampling_defaults(self.model))
        seed = secrets.randbelow(MAX_SEED) if filled.seed is None else filled.seed
        return dataclasses.replace(filled, seed=seed)

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        *processors: LogitsProcessor,
        guidance: tuple[float, Sequence[int]] | None = None,
    ) -> Answer:
        """Write one answer behind one prompt, or behind several at once.

        Args:
            prompts: token ids; the answer's distribution is that of the first row, and every row
                gets the drawn token.
            params: how to sample; tokens of the first prompt count as seen.
            processors: what changes the logits, [rows, vocab], before they are drawn from.
            guidance: transformers' guidance scale and negative prompt.

        Raises:
            ContextOverflowError: prompt and answer do not fit the model's context.
            NumericalError: the model returned NaN.
        """
        filled = self.resolved(params)
        scale, negative = guidance or (1.0, None)
        wanted, width = filled.max_new_tokens or 0, max(len(row) for row in prompts)
        longest = max(width, len(negative or ()))
        if self.context_window is not None and longest + wanted > self.context_window:
            raise ContextOverflowError(longest, wanted, self.context_window)
        device = self.model.device
        padded = [[0] * (width - len(row)) + list(row) for row in prompts]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in prompts]
        drawing = Drawing(filled, prompts[0], width, self.vocab_size, device)
        growing = Growing(TextStream(self.detokenize, filled.stop), self.eos)
        config: Any = GenerationConfig
        began = time.perf_counter()
        with torch.inference_mode():
            self.model.generate(
                input_ids=torch.tensor(padded, device=device),
                attention_mask=torch.tensor(mask, device=device),
                logits_processor=LogitsProcessorList([*processors, drawing]),
                stopping_criteria=StoppingCriteriaList([growing]),
                generation_config=config(
                    max_new_tokens=wanted,
                    eos_token_id=sorted(self.eos) or None,
                    pad_token_id=min(self.eos, default=0),
                    guidance_scale=scale,
                    **_NEUTRAL,
                ),
                negative_prompt_ids=negative and torch.tensor([list(negative)], device=device),
            )
        seconds = time.perf_counter() - began
        text = growing.close()
        return Answer(text, growing.tokens, seconds, growing.finish_reason)
