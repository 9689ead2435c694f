"""Aligner and MetaAligner: a second model edits the first answer."""

import dataclasses
from typing import Final

from persona_judge_llm.engine import PersonaJudge
from persona_judge_llm.evaluation.cases import Answer, Case
from persona_judge_llm.evaluation.engine_methods import engine_method
from persona_judge_llm.evaluation.systems.asking import check_template, filled, raw_ids
from persona_judge_llm.evaluation.systems.checkpoints import opened
from persona_judge_llm.evaluation.systems.options import Options
from persona_judge_llm.evaluation.systems.system import Reply
from persona_judge_llm.evaluation.systems.writing import Writer

FORMS: Final = {
    "aligner": (
        "BEGINNING OF CONVERSATION: USER: Edit this question and answer so that the answer helps "
        "more and harms less: {question} | {answer} ASSISTANT:"
    ),
    "metaaligner": (
        "Edit the answer to improve it considering these aspects: {aspects} | "
        "Context: {question} | Answer: {answer} | Edit:"
    ),
    "chat": (
        "Rewrite the answer so that it does better in these aspects, and keep what is good in it.\n"
        "Aspects: {aspects}\nQuestion: {question}\nAnswer: {answer}\n"
        "Reply with the rewritten answer only."
    ),
}
"""How a corrector is asked, by its kind; "chat" is a user's message by its chat template."""


def open_corrector(options: Options, engine: PersonaJudge) -> Reply:
    """Aligner, MetaAligner: an answer of the engine's, edited by a corrector.

    Needs a corrector's checkpoint. Keys: "model", "form" ("aligner", "metaaligner", or "chat" for
    any chat model; default "metaaligner"), "template" (instead of the form's text, with {question},
    {answer} and maybe {aspects}: take the wording on your checkpoint's card, for the built-in texts
    have the published shape in words of our own), "first" (which of the engine's methods answers,
    default "plain"). {aspects} are the preferences, with "; " between. The first answer's forwards,
    then one of the corrector's a token over a prompt that holds it; nothing can be shown before.

    Source: arXiv 2402.02416; arXiv 2403.17141.
    """
    form = options.choice("form", tuple(FORMS), "metaaligner")
    template = check_template(options.text("template", FORMS[form]), "question", "answer")
    first = engine_method(engine, options.text("first", "plain"))
    writer = Writer(*opened(options.text("model"), engine))

    def reply(case: Case) -> Answer:
        (draft,) = first.answer([case])
        aspects = "; ".join((*case.side_a, *case.side_b))
        asked = filled(template, question=case.prompt, answer=draft.text, aspects=aspects)
        chat = form == "chat"
        prompt = writer.prompts.build(asked).ids if chat else raw_ids(writer, asked)
        edited = writer.write([prompt], case.params)
        return dataclasses.replace(edited, seconds=draft.seconds + edited.seconds)

    return reply
