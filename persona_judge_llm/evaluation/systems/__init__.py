"""The paper's other systems, as methods to compare with; most take a checkpoint of the user's own.

`open_system({"system": ..., ...}, engine)` opens one; "name" is free, for tables. F is one forward
of a model a token, with a KV cache.

    system            own keys                                needs                  cost a token
    context_steering  strength, per                           nothing                n+1 rows in 1 F
    guidance          scale, against                          nothing                2 F
    policy            model, adapter, prompt                  a trained policy       1 F
    mod               models, weights, prompt                 k policies             k F
    soups             adapters | checkpoints, model,          k policies trained     1 F
                      weights, average, prompt                from one model
    args              reward, score, trust_remote_code,       a reward model         1 F + k rewards
                      weight, candidates, prompt
    style_vectors     vectors, strength, keep, prompt         a vector per layer     1 F
    corrector         model, form, template, first            a corrector            1 F + 1 F over
                                                                                     the answer
    reward_tokens     model, scores, template                 a RiC checkpoint       1 F

Sources are in the docstrings of the functions that open them.
"""

from persona_judge_llm.evaluation.systems.opening import SYSTEMS, check_system, open_system

__all__ = ["SYSTEMS", "check_system", "open_system"]
