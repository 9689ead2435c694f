"""Comparing ways to answer in a user's taste: the paper's protocol, and its users' own.

cases            what is asked, and what a method is: all else stands on it
engine_methods   the engine's methods        modes      as we run them, and as the authors did
systems          the paper's other systems, and rivals
dimensions       what may be wanted          pairings   by whom      prompt_sets  of what
experiments      what a run is, its folder   runs       running it   records      its files
reward_models    rewards in their native format         scoring      a run's answers
judge_endpoint   a judge over HTTP           judgements a run's answers, in both orders
statistics       intervals and tests         summaries  what a cell comes to
published        the paper's numbers         tables     ours beside them
report           Markdown and JSON           charts     PNG
"""
