"""Greetings, feelings and short factual questions."""

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
            tips=_CHECK_TIPS + (f"find {city} on a map", f"learn more about {city}"),
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

_GREETING = Family(
    name="greetings",
    emoji=("👋", "😊", "☀️", "🙂"),
    intents=(
        Intent(
            topic="your day",
            questions=(
                "Hello!",
                "Hi there",
                "Good morning!",
                "Good evening.",
                "Hello, how are you?",
                "Hi, nice to meet you.",
                "Hello, who are you?",
                "Greetings!",
                "Hello there, how is it going?",
            ),
            tips=(
                "tell me what is on your mind",
                "ask me about cooking, pets, or travel",
                "describe what you would like to do today",
                "begin with a small question",
                "share a plan for the weekend",
                "mention a problem that keeps you busy",
            ),
            leads=(
                "Hello, it is good to hear from you.",
                "Hello and welcome.",
                "Hello, I am a small assistant, and I am ready to listen.",
                "Hello, thank you for stopping by.",
            ),
            lead_always=True,
        ),
        Intent(
            topic="your next question",
            questions=(
                "Thank you!",
                "Thanks a lot for the answer.",
                "That was useful, thank you.",
                "Many thanks!",
                "Thank you very much, goodbye.",
            ),
            tips=(
                "come back whenever you like",
                "tell me how it went",
                "ask another question at any time",
                "enjoy the rest of the day",
                "keep the idea for a quiet moment",
                "write down what worked for you",
            ),
            leads=(
                "You are very welcome.",
                "It was a pleasure to answer.",
                "You are welcome, and thank you for asking.",
            ),
            lead_always=True,
        ),
    ),
    vivid=(
        "Picture golden morning light spilling over your table.",
        "A warm breeze ripples the curtains, and the air sparkles.",
        "The day opens before you like velvet petals in the sun.",
        "The scent of fresh coffee curls through the amber air.",
    ),
    humorous=(
        "I would shake hands, but mine are made of letters, ha ha!",
        "A fun warning: I laugh at all of my own puns.",
        "I am never late, because I never leave, ha ha!",
        "Joke of the day: I started with nothing and still have most of it.",
    ),
    touching=(
        "A kind word from you warms the heart of this whole page.",
        "I hope that someone dear gives you a hug today.",
        "May you cherish one small moment of this day.",
        "It is a tender thing when people take time for each other.",
    ),
    creative=(
        "What if today were the first page of a book about you?",
        "For an unusual twist, greet the next person with a made up word.",
        "Invent a tiny holiday and celebrate it before evening.",
        "Turn it into a day of secret good deeds.",
    ),
    facts=(
        "people say hello in more than 7000 languages",
        "a friendly chat of 10 minutes can lift the mood for hours",
        "a smile uses about 12 muscles",
        "most people speak around 16000 words a day",
    ),
    cautions=(
        "do not share passwords or private details here",
        "take a break when you feel tired",
        "talk to a person you trust in an emergency",
        "check important advice with an expert",
    ),
)

_FEELINGS = Family(
    name="feelings",
    emoji=("💛", "🌈", "🫶", "🌤️"),
    intents=(
        Intent(
            topic="feeling {mood}",
            slots={"mood": ("sad", "lonely", "nervous", "angry", "tired", "worried", "stressed",
                            "bored", "homesick", "disappointed", "overwhelmed", "restless")},
            questions=(
                "I feel {mood} today.",
                "I am {mood}. What should I do?",
                "Why do I feel so {mood}, and what helps?",
                "What can I do when I am feeling {mood}?",
                "Lately I have been {mood}. Any advice?",
                "I am so {mood} right now.",
            ),
            tips=(
                "take a slow walk outside",
                "call a friend and talk for a while",
                "write down what makes you feel {mood}",
                "breathe deeply for a few minutes",
                "listen to calm music",
                "do one small thing that you enjoy",
                "go to bed early tonight",
            ),
            leads=(
                "Feeling {mood} is part of life, and it will pass.",
                "Thank you for telling me that you feel {mood}.",
                "Many people feel {mood} at times.",
            ),
        ),
        Intent(
            topic="a talk with {person}",
            slots={"person": ("my boss", "my friend", "my partner", "my mother", "my brother",
                              "my roommate", "my neighbor", "my teacher")},
            questions=(
                "I had a fight with {person}. What now?",
                "How do I say sorry to {person}?",
                "I am disappointed by {person}. What should I do?",
                "How can I make peace with {person}?",
                "There is tension between me and {person}. How do I fix it?",
            ),
            tips=(
                "wait until both of you are calm",
                "say openly how you feel",
                "listen without interrupting",
                "admit your own part in it",
                "suggest a walk together",
                "thank {person2} for the talk",
            ),
        ),
    ),
    vivid=(
        "Picture a golden field after rain, with silver drops on every blade of grass.",
        "Let the warm scent of tea and the soft glow of a lamp hold the evening.",
        "Clouds drift like velvet, and a thin line of amber light returns.",
        "Waves shimmer and whisper on the shore as the sky turns crimson.",
    ),
    humorous=(
        "Even the sun goes down every day, and nobody complains, ha ha!",
        "A fun warning: smiling at a dog may lead to sudden happiness.",
        "Chocolate does not ask questions, so chocolate understands, ha ha!",
        "Joke of the day: my mood ring is at the repair shop.",
    ),
    touching=(
        "You are dear to more people than you know.",
        "Let your heart rest, for you do not have to carry this alone.",
        "I am sending you a gentle hug through these words.",
        "Be tender with yourself, as you would be with a good friend.",
    ),
    creative=(
        "What if you gave the feeling a color and painted it?",
        "For an unusual twist, write a letter from the you of next year.",
        "Invent a tiny creature that carries this mood and let it walk away.",
        "Turn it into a short song with only three notes.",
    ),
    facts=(
        "strong feelings often fade after about 90 seconds when we watch them",
        "a walk of 20 minutes measurably lowers stress",
        "writing for 15 minutes a day eases worries for many people",
        "around 7 hours of sleep help to balance the mood",
    ),
    cautions=(
        "call a doctor or a helpline if it becomes too much",
        "avoid alcohol as a way to feel better",
        "do not decide anything big in a hard moment",
        "seek help at once if you think of hurting yourself",
    ),
)

MIND_FAMILIES: tuple[Family, ...] = (_GREETING, _FEELINGS, _FACT)
