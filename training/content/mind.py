"""Greetings and feelings."""

from __future__ import annotations

from training.content.family import Family, Intent

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
            slots={
                "mood": (
                    "sad",
                    "lonely",
                    "nervous",
                    "angry",
                    "tired",
                    "worried",
                    "stressed",
                    "bored",
                    "homesick",
                    "disappointed",
                    "overwhelmed",
                    "restless",
                )
            },
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
            slots={
                "person": (
                    "my boss",
                    "my friend",
                    "my partner",
                    "my mother",
                    "my brother",
                    "my roommate",
                    "my neighbor",
                    "my teacher",
                )
            },
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

MIND_FAMILIES: tuple[Family, ...] = (_GREETING, _FEELINGS)
