"""Short factual questions."""

from __future__ import annotations

from training.content.family import Family, Intent

_CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin",
    "Japan": "Tokyo", "Canada": "Ottawa", "Egypt": "Cairo", "Peru": "Lima", "Norway": "Oslo",
    "Greece": "Athens", "Ireland": "Dublin", "Poland": "Warsaw", "Austria": "Vienna",
    "Portugal": "Lisbon", "Kenya": "Nairobi", "Cuba": "Havana", "Chile": "Santiago",
    "Sweden": "Stockholm", "Finland": "Helsinki", "Hungary": "Budapest", "Turkey": "Ankara",
    "Australia": "Canberra", "South Korea": "Seoul", "Denmark": "Copenhagen",
}  # fmt: skip
_FACTS = (
    (("Which planet is the largest?", "What is the biggest planet of our sun?",
      "Name the largest planet."), "The largest planet of our sun is Jupiter."),
    (("Which planet is closest to the sun?", "What is the nearest planet to the sun?",
      "Name the planet closest to the sun."), "The planet closest to the sun is Mercury."),
    (("Who painted the Mona Lisa?", "Which artist painted the Mona Lisa?",
      "The Mona Lisa was painted by whom?"), "The Mona Lisa was painted by Leonardo da Vinci."),
    (("What is the largest ocean?", "Which ocean is the biggest?", "Name the largest ocean."),
     "The largest ocean on earth is the Pacific."),
    (("What is the tallest animal?", "Which animal is the tallest?",
      "Name the tallest animal."), "The tallest animal on land is the giraffe."),
    (("Why is the sky blue?", "What makes the sky blue?", "How come the sky looks blue?"),
     "The sky looks blue because air scatters blue light more than red light."),
    (("What do bees make?", "What do bees produce?", "Which food comes from bees?"),
     "Bees make honey from the nectar of flowers."),
    (("How many days are in a week?", "How many days does a week have?",
      "Tell me the number of days in a week."), "A week has seven days."),
    (("What is the longest river?", "Which river is the longest?", "Name the longest river."),
     "The Nile is often named as the longest river on earth."),
    (("What is ice made of?", "What does ice consist of?", "Ice is made of what?"),
     "Ice is simply frozen water."),
    (("Who wrote Romeo and Juliet?", "Which author wrote Romeo and Juliet?",
      "Romeo and Juliet was written by whom?"),
     "Romeo and Juliet was written by William Shakespeare."),
    (("What is the highest mountain?", "Which mountain is the highest?",
      "Name the highest mountain."), "The highest mountain on earth is Mount Everest."),
    (("How many legs does a spider have?", "How many legs do spiders have?",
      "Tell me how many legs a spider has."), "A spider has eight legs."),
    (("What causes the tides?", "Why are there tides?", "Where do the tides come from?"),
     "The tides are caused mainly by the pull of the moon."),
    (("Which metal is liquid at room temperature?", "What metal is liquid in a warm room?",
      "Name a metal that is liquid in a room."), "Mercury is a metal that is liquid in a room."),
    (("What do plants need to grow?", "What does a plant live on?",
      "Which things does a plant need?"), "Plants need light, water, air, and minerals."),
)  # fmt: skip
_CAPITAL_QUESTIONS = (
    "What is the capital of {country}?",
    "Which city is the capital of {country}?",
    "Tell me the capital of {country}.",
    "Can you name the capital of {country}?",
    "What is the capital city of {country}?",
)
_CHECK_TIPS = (
    "look it up in an atlas",
    "read more about it in a library",
    "write the answer on a small card",
    "ask a friend the same question tonight",
    "find a short film about it",
    "look at a picture of it",
    "share it with a curious child",
)


def _fact_intents() -> tuple[Intent, ...]:
    capitals = tuple(
        Intent(
            topic=f"the capital of {country}",
            questions=tuple(question.format(country=country) for question in _CAPITAL_QUESTIONS),
            tips=(*_CHECK_TIPS, f"find {city} on a map", f"learn more about {city}"),
            leads=(f"The capital of {country} is {city}.",),
            lead_always=True,
        )
        for country, city in _CAPITALS.items()
    )
    others = tuple(
        Intent(
            topic="this question",
            questions=questions,
            tips=_CHECK_TIPS,
            leads=(answer,),
            lead_always=True,
        )
        for questions, answer in _FACTS
    )
    return capitals + others


_FACT = Family(
    name="facts",
    emoji=("🔎", "🗺️", "🌐", "📖"),
    intents=_fact_intents(),
    vivid=(
        "Picture the answer glowing like a golden pin on a dark blue globe.",
        "Knowledge sparkles here like a silver star in a velvet sky.",
        "The thought shimmers for a moment, like amber light on water.",
        "Old pages rustle, and the scent of paper fills the quiet hall.",
    ),
    humorous=(
        "I knew that one even before my morning coffee, ha ha!",
        "A fun warning: quoting this at dinner may win you free dessert.",
        "My brain keeps such facts where my keys should be, ha ha!",
        "Joke of the day: the map and the globe had a falling out on one point.",
    ),
    touching=(
        "May you always cherish this bright curiosity of yours.",
        "Asking is how a child's heart first meets the world.",
        "Share it with someone dear, and it becomes a small gift.",
        "There is something tender in wanting to know the world.",
    ),
    creative=(
        "What if you painted the answer on a stone and left it for a stranger?",
        "For an unusual twist, hide the fact in the first letters of a poem.",
        "Invent a song with the answer as its chorus.",
        "Turn it into a riddle for the next long car ride.",
    ),
    facts=(
        "a fact is kept best when you repeat it after 1 day and after 7 days",
        "there are 195 countries and 7 continents on most lists",
        "light from the sun needs about 8 minutes to reach us",
        "around 71 percent of the earth is covered by water",
    ),
    cautions=(
        "do not share private details when you search for more",
        "beware of websites that ask for payment",
        "rest your eyes after long reading",
        "ask an adult before you try any experiment",
    ),
)

FACT_FAMILIES: tuple[Family, ...] = (_FACT,)
