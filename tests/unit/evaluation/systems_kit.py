"""What the tests of systems share: checkpoints, and the laws that tokens were drawn from."""

from dataclasses import dataclass, field

import torch

from persona_judge_llm.evaluation.cases import Case
from persona_judge_llm.evaluation.systems import drawing
from persona_judge_llm.prompts import PromptBuilder
from persona_judge_llm.sampling import SamplingParams
from persona_judge_llm.testing import tiny_model, tiny_tokenizer

GREEDY = SamplingParams(temperature=0, max_new_tokens=8)
SAMPLED = SamplingParams(temperature=0.9, top_k=20, top_p=0.9, max_new_tokens=16, seed=5)
QUESTION = "How are you?"


def case(params=SAMPLED, side_a=("Be concise", "Be kind"), side_b=("Make me laugh",)):
    return Case(QUESTION, side_a, side_b, params)


def said(method, asked):
    (answer,) = method.answer([asked])
    return answer


def saved(path, model):
    model.save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return str(path)


def checkpoint(path, seed):
    return saved(path, tiny_model(seed=seed))


def prompt(text=QUESTION, preferences=()):
    return PromptBuilder(tiny_tokenizer()).build(text, preferences).ids


def logits(model, ids):
    """A forward pass over everything, without a cache."""
    with torch.inference_mode():
        return model(torch.tensor([list(ids)]), use_cache=False).logits[0, -1].float()


@dataclass
class Drawn:
    """The scores that each token was drawn from, and the tokens."""

    scores: list = field(default_factory=list)
    tokens: list = field(default_factory=list)

    def check(self, formula, tolerance=2e-4):
        """Compare every distribution with the formula's, of the tokens before it."""
        assert self.tokens
        for place, scores in enumerate(self.scores):
            wanted = torch.softmax(formula(self.tokens[:place]).float(), -1)
            found = torch.softmax(scores.float(), -1)
            assert (found - wanted).abs().max() < tolerance, place


def record(monkeypatch):
    drawn = Drawn()
    law, draw = drawing.logits_to_probs, drawing.draw

    def recorded_law(scores, *rest):
        drawn.scores.append(scores[0].clone())
        return law(scores, *rest)

    def recorded_draw(probs, uniforms):
        token = draw(probs, uniforms)
        drawn.tokens.append(int(token))
        return token

    monkeypatch.setattr(drawing, "logits_to_probs", recorded_law)
    monkeypatch.setattr(drawing, "draw", recorded_draw)
    return drawn
