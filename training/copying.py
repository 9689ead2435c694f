"""Copy tasks: passages with questions about them, made of words that never meet twice."""

from __future__ import annotations

import random
from dataclasses import dataclass

_ONSETS = ("b br c ch cr d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t th tr v w z Al El "
           "Or Um In").split()  # fmt: skip
_CORES = "a e i o u ai ea ee oa ou ar er or an en in on un al el il ol".split()
_ENDS = "b ck d g l ll m n nd ng nt p r rk s ss st t th x z a o ia us on er in el".split()
_NOUNS = (
    "library bakery museum bridge station school harbor tower market garden hotel theater clinic "
    "factory castle cafe office pool farm studio temple mill ferry orchard workshop lantern engine "
    "clock statue fountain door map coat boat bell robot lamp piano letter kettle rocket sensor"
).split()
_ADJECTIVES = (
    "old small blue quiet round heavy bright narrow wooden famous hidden empty northern wet green "
    "tall strange gentle broken early"
).split()
_VERBS = (
    "stands turns opens moves rests waits grows hides shines leans sinks rings sleeps floats melts"
).split()
_PLACES = ("hill", "river", "square", "forest", "lake", "gate", "road", "coast", "valley", "field")
_ROLES = ("mayor", "owner", "captain", "teacher", "painter", "cook", "doctor", "guide", "founder",
          "manager")  # fmt: skip
_COLORS = ("red", "blue", "green", "white", "black", "yellow", "gray", "purple", "orange", "brown")
_STUFF = ("bread", "paper", "glass", "honey", "tea", "wool", "shoes", "clocks", "boats", "soap",
          "cheese", "chairs", "bicycles", "paint", "candles", "maps")  # fmt: skip
_MONTHS = ("January", "March", "April", "May", "June", "July", "August", "October", "December")
_THINGS = ("warranty", "ticket", "contract", "course", "tour", "membership", "trial", "license",
           "exhibition", "discount")  # fmt: skip
_REAL_NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jonas",
               "Kate", "Leo", "Maria", "Noah", "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor",
               "Alice", "Bob")  # fmt: skip

_RELATIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "{E} was founded in {y}.",
        (
            "When was {E} founded?",
            "What is the founding year of {E}?",
            "In which year was {E} founded?",
        ),
    ),
    (
        "{E} has {n} rooms.",
        (
            "How many rooms does {E} have?",
            "Tell me how many rooms there are in {E}.",
            "What number of rooms has {E}?",
        ),
    ),
    (
        "{E} opens at {h} in the morning.",
        ("When does {E} open?", "What is the opening time of {E}?", "At what time does {E} open?"),
    ),
    ("{E} is led by {P}.", ("Who leads {E}?", "Who is the head of {E}?", "By whom is {E} led?")),
    (
        "{E} is famous for its {s}.",
        ("What is {E} famous for?", "Why do people know {E}?", "For what is {E} known?"),
    ),
    ("{E} lies near the {a} {p}.", ("Where does {E} lie?", "Near what is {E}?", "Where is {E}?")),
    (
        "{E} costs {n} dollars.",
        ("How much does {E} cost?", "How many dollars does {E} cost?", "What is the price of {E}?"),
    ),
    (
        "{P} was born in {y}.",
        ("When was {P} born?", "What is the year of birth of {P}?", "In which year was {P} born?"),
    ),
    (
        "{P} lives in {T}.",
        ("Where does {P} live?", "Where is the home of {P}?", "In which town does {P} live?"),
    ),
    (
        "{P} works as a {r} in {T}.",
        ("What is the job of {P}?", "What does {P} do for a living?", "As what does {P} work?"),
    ),
    (
        "{P} likes {c} {s}.",
        ("What does {P} like?", "Tell me what {P} likes.", "Which things does {P} like?"),
    ),
    (
        "The {N} in {T} is {c}.",
        (
            "Which color has the {N} in {T}?",
            "Tell me the color of the {N} in {T}.",
            "What color is the {N} in {T}?",
        ),
    ),
    (
        "The {N} in {T} closes at {h} in the evening.",
        (
            "When does the {N} in {T} close?",
            "How long is the {N} in {T} open in the evening?",
            "At what time does the {N} in {T} close?",
        ),
    ),
    (
        "The {N} in {T} belongs to {P}.",
        (
            "Who owns the {N} in {T}?",
            "Who is the owner of the {N} in {T}?",
            "To whom does the {N} in {T} belong?",
        ),
    ),
    (
        "The {r} of {T} is {P}.",
        (
            "Who is the {r} of {T}?",
            "Tell me who the {r} of {T} is.",
            "What is the name of the {r} of {T}?",
        ),
    ),
    (
        "The code for the {N} is {d}.",
        (
            "What is the code for the {N}?",
            "Tell me the code for the {N}.",
            "Which code opens the {N}?",
        ),
    ),
    (
        "The {t} lasts {n} months.",
        (
            "How long does the {t} last?",
            "How many months does the {t} last?",
            "For how many months does the {t} last?",
        ),
    ),
    (
        "The {t} ends in {m} {y}.",
        (
            "When does the {t} end?",
            "What is the last month of the {t}?",
            "In which month does the {t} end?",
        ),
    ),
    (
        "The phone number of {P} is {d}.",
        (
            "What is the phone number of {P}?",
            "Which number do I dial for {P}?",
            "How can I call {P}?",
        ),
    ),
    (
        "The {a} {N} of {T} {v} near the {p}.",
        (
            "What does the {a} {N} of {T} do?",
            "What is known of the {a} {N} of {T}?",
            "Where is the {a} {N} of {T}?",
        ),
    ),
    (
        "The {a} {N} {v} behind the {p} of {T}.",
        ("What about the {a} {N}?", "What happens with the {a} {N}?", "Where is the {a} {N}?"),
    ),
)
_OPEN_QUESTIONS = (
    "What does the text say about {x}?",
    "What do we know about {x}?",
    "Tell me about {x}.",
    "What is said about {x}?",
    "Give me the sentence about {x}.",
    "I need to know about {x}.",
    "What is there to say of {x}?",
    "Do you know something about {x}?",
    "{x}?",
    "By the way, what about {x}?",
    "As what or where or when, {x}?",
)
_OPENINGS = ("Please tell me: ", "Quick question: ", "I wonder: ", "One thing: ", "Next: ")


def pseudo_word(rng: random.Random) -> str:
    """Make up a capitalised word of two or three syllables."""
    count = rng.choice((1, 1, 2))
    text = "".join(rng.choice(_ONSETS) + rng.choice(_CORES) for _ in range(count))
    return (text + rng.choice(_ENDS)).capitalize()


def name(rng: random.Random) -> str:
    """Draw a name of a person, real or made up, one or two words."""
    first = rng.choice(_REAL_NAMES) if rng.random() < 0.4 else pseudo_word(rng)
    return f"{first} {pseudo_word(rng)}" if rng.random() < 0.5 else first


def _fields(rng: random.Random) -> dict[str, str]:
    thing = rng.choice(_NOUNS)
    entity = pseudo_word(rng)
    roll = rng.random()
    if roll < 0.35:
        entity = f"{entity} {thing.capitalize()}"
    elif roll < 0.5:
        entity = f"The {thing} {entity}"
    return {
        "E": entity, "P": name(rng), "T": pseudo_word(rng), "N": thing,
        "y": str(rng.randint(1200, 2040)), "n": str(rng.randint(2, 999)),
        "h": str(rng.randint(1, 12)), "d": str(rng.randint(100, 99999)),
        "s": rng.choice(_STUFF), "a": rng.choice(_ADJECTIVES), "p": rng.choice(_PLACES),
        "r": rng.choice(_ROLES), "c": rng.choice(_COLORS), "v": rng.choice(_VERBS),
        "t": rng.choice(_THINGS), "m": rng.choice(_MONTHS),
    }  # fmt: skip


@dataclass(frozen=True)
class Passage:
    """Sentences, a question and the one sentence that answers it."""

    sentences: tuple[str, ...]
    question: str
    answer: str


def passage(rng: random.Random, count: int, held_out: bool = False) -> Passage:
    """Make a passage with a question.

    Args:
        rng: Source of randomness.
        count: Number of sentences.
        held_out: Ask in the held-out wording of each relation (the last one).
    """
    facts: list[tuple[str, str]] = []
    previous: dict[str, str] | None = None
    used: set[str] = set()
    subjects: set[str] = set()
    while len(facts) < count:
        fields = _fields(rng)
        if previous is not None and rng.random() < 0.15:
            fields.update({key: previous[key] for key in ("E", "P", "T")})
        template, questions = rng.choice(_RELATIONS)
        sentence = template.format(**fields)
        question = questions[-1] if held_out else rng.choice(questions[:-1])
        subject = question.format(**fields).replace(" The ", " the ")
        if sentence in used or subject in subjects:
            continue
        if not held_out and rng.random() < 0.35:
            lower = template[0] == "T" or (fields["E"].startswith("The ") and template[1] == "E")
            head = sentence.split(" is ")[0] if " is " in sentence else " ".join(
                sentence.split()[: rng.choice((2, 3, 4))]
            )  # fmt: skip
            head = head.rstrip(".")
            if lower and head.startswith("The "):
                head = "the" + head[3:]
            subject = rng.choice(_OPEN_QUESTIONS).format(x=head)
        used.add(sentence)
        subjects.add(subject)
        facts.append((sentence[:1].upper() + sentence[1:], subject))
        previous = fields
    answer, question = rng.choice(facts)
    if not held_out and rng.random() < 0.3:
        question = rng.choice(_OPENINGS) + question
    return Passage(tuple(sentence for sentence, _ in facts), question, answer)
