"""An engine in a process of its own: leaving while it works, forking, and leaving no thread."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT = 200
"""Seconds until a process counts as hanging: importing torch alone may take many."""

START = """
import asyncio, os, signal, sys, threading, traceback, warnings
import torch
from persona_judge_llm import PersonaJudge, SamplingParams
from persona_judge_llm.testing import tiny_engine

LIKES = ["Be concise", "Use images"]
LONG = dict(
    preferences=LIKES, params=SamplingParams(max_new_tokens=800, seed=1, logit_bias={258: -100.0})
)
SHORT = dict(preferences=LIKES, params=SamplingParams(max_new_tokens=8, seed=1))
"""

HALF_READ = """
engine = PersonaJudge.bundled()
chunks = engine.stream("Hello", preferences=LIKES, params=SamplingParams(max_new_tokens=200))
next(chunks)

async def half():
    async for chunk in engine.astream("Hi", preferences=LIKES):
        break

asyncio.run(half())
print("left")
"""

BUSY = """
engine = tiny_engine()
started, own = threading.Event(), engine.stream("Hello", **LONG)
next(own)

def work():
    started.set()
    engine.generate("Hello", **LONG)  # takes longer than the process lasts

threading.Thread(target=work, daemon=True).start()
started.wait()
next(own)
print("left")
"""

BUSY_TASK = """
engine = tiny_engine()
started = threading.Event()

async def read():  # Python itself waits for what runs in an executor
    async for chunk in engine.astream("Hello", **SHORT):
        started.set()

threading.Thread(target=asyncio.run, args=[read()], daemon=True).start()
started.wait()
print("left")
"""

CLOSED = """
before = set(threading.enumerate())
engine = tiny_engine()
streams = [engine.stream("Hello", **LONG) for _ in range(3)]
for chunks in streams:
    next(chunks)

async def some():
    await asyncio.gather(*[engine.agenerate("Hello", **SHORT) for _ in range(5)])
    chunks = engine.astream("Hello", **LONG)
    await anext(chunks)
    engine.close()
    assert [c async for c in chunks][-1].generation.finish_reason == "cancelled"

asyncio.run(some())
for thread in set(threading.enumerate()) - before:
    thread.join(60)
assert set(threading.enumerate()) == before, threading.enumerate()
print("left")
"""

FORKED = """
engine = tiny_engine()
expected = engine.generate("Hello", **SHORT).text
asyncio.run(engine.agenerate("Hello", **SHORT))  # leaves a thread that waits for more
torch.set_num_threads(2)
torch.ones(500_000).exp().sum()  # as does torch
forward, reached, go_on = engine.model.forward, threading.Event(), threading.Event()

def held(*args, **kwargs):
    if os.getpid() == parent:
        reached.set()
        go_on.wait()
    return forward(*args, **kwargs)

parent, answers = os.getpid(), []
engine.model.forward = held
worker = threading.Thread(target=lambda: answers.append(engine.generate("Hello", **SHORT).text))
worker.start()
reached.wait()  # in a forward pass
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads
child = os.fork()
if not child:
    signal.alarm(100)
    code = 1
    try:
        assert engine.generate("Hello", **SHORT).text == expected
        assert "".join(c.text for c in engine.stream("Hello", **SHORT)) == expected
        assert asyncio.run(engine.agenerate("Hello", **SHORT)).text == expected
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go_on.set()
worker.join()
assert status == 0, f"the child ended with {status}"
assert answers == [expected]
print("left")
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(HALF_READ, id="streams that are half read"),
        pytest.param(BUSY, id="a thread that generates"),
        pytest.param(BUSY_TASK, id="an event loop that generates"),
        pytest.param(CLOSED, id="a closed engine, without any thread"),
        pytest.param(
            FORKED,
            id="a fork during a forward pass",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
        ),
    ],
)
def test_a_process_ends_in_peace(script):
    found = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", START + script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "left\n"), found.stderr
    assert not re.search("Traceback|Error|Exception|Fatal|terminate", found.stderr)
