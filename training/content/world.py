"""Study help and money."""

from __future__ import annotations

from training.content.family import Family, Intent

_SUBJECT = (
    "math", "history", "biology", "chemistry", "French", "Spanish", "geography", "physics",
    "grammar", "statistics", "Latin", "music theory", "programming", "economics",
)  # fmt: skip
_STUDY = Family(
    name="study",
    emoji=("📚", "✏️", "🎓", "🧠"),
    intents=(
        Intent(
            topic="{subject}",
            slots={"subject": _SUBJECT},
            questions=(
                "How can I learn {subject}?",
                "I have an exam in {subject}. How should I prepare?",
                "What is the best way to study {subject}?",
                "Help me study {subject}.",
                "I do not understand {subject}. What can I do?",
                "How do I get better grades in {subject}?",
                "Any tips for learning {subject}?",
            ),
            tips=(
                "divide {subject} into small parts",
                "explain each idea in your own words",
                "solve old exam questions",
                "review your notes on {subject} every evening",
                "make a set of cards with questions",
                "study with a friend who likes {subject}",
                "take a short break after each chapter",
            ),
        ),
        Intent(
            topic="writing {text}",
            slots={
                "text": (
                    "an essay",
                    "a report",
                    "a speech",
                    "a short story",
                    "a summary",
                    "a thesis",
                    "a letter",
                    "a poem",
                )
            },
            questions=(
                "How do I write {text}?",
                "Can you help me with writing {text}?",
                "I have to write {text}. How do I begin?",
                "What makes {text} good?",
                "Give me advice for {text}.",
            ),
            tips=(
                "collect your ideas on one page",
                "write a first version without stopping",
                "begin {text} with a clear opening",
                "read every sentence aloud",
                "remove words that add nothing",
                "ask a friend for an honest opinion",
            ),
        ),
        Intent(
            topic="staying focused",
            questions=(
                "How do I stay focused while studying?",
                "I get distracted all the time. What helps?",
                "How can I concentrate better?",
                "How do I stop putting off my homework?",
                "What can I do when I cannot concentrate?",
            ),
            tips=(
                "put the phone in another room",
                "choose one clear task",
                "work at a clean desk",
                "plan a pleasant break",
                "start with the easiest part",
                "study at the same hour each day",
            ),
        ),
    ),
    vivid=(
        "Picture each idea as a golden lantern that glows along a dark path.",
        "Pages rustle softly, and the scent of paper and warm tea fills the room.",
        "Thoughts sparkle like silver fish in a clear stream.",
        "A pool of amber light falls on your notes while rain whispers at the window.",
    ),
    humorous=(
        "Sleeping on the book does not move the words into your head, ha ha!",
        "A fun warning: the fridge gets very interesting before exams.",
        "Your brain has many tabs open, and one of them plays music, ha ha!",
        "Joke of the day: the pencil was sad because it had no point.",
    ),
    touching=(
        "Believe in yourself, for those who hold you dear already do.",
        "Every honest effort leaves a quiet light in the heart.",
        "Be tender with yourself on the slow days too.",
        "One day you will cherish how far you have come.",
    ),
    creative=(
        "What if every chapter became a room in an imaginary palace?",
        "For an unusual twist, teach the lesson to a row of toys.",
        "Invent a comic hero who explains the hard parts.",
        "Turn it into a quiz show with its own theme song.",
    ),
    facts=(
        "the mind keeps about 50 percent more after 1 night of good sleep",
        "blocks of 25 minutes with breaks of 5 suit most learners",
        "a review after 1 day and again after 7 days fixes new knowledge",
        "testing yourself works about 2 times better than reading again",
    ),
    cautions=(
        "do not give up sleep for extra hours of work",
        "rest your eyes after long reading",
        "talk to somebody if the pressure becomes too much",
        "never rely on pills to stay awake",
    ),
)

_MONEY = Family(
    name="money",
    emoji=("💰", "💡", "🏦", "🪙"),
    intents=(
        Intent(
            topic="saving for {aim}",
            slots={
                "aim": (
                    "a house",
                    "a car",
                    "a holiday",
                    "college",
                    "a new bike",
                    "a wedding",
                    "retirement",
                    "a computer",
                    "an emergency",
                    "a piano",
                )
            },
            questions=(
                "How do I save money for {aim}?",
                "I want to save for {aim}. How do I start?",
                "What is a good way to put money aside for {aim}?",
                "Can you help me plan savings for {aim}?",
                "How long does it take to save for {aim}, and how do I begin?",
            ),
            tips=(
                "write down every expense for a month",
                "move a fixed sum for {aim} on payday",
                "open a separate account for {aim}",
                "cancel services that you never use",
                "wait a day before large purchases",
                "sell things that you no longer need",
            ),
        ),
        Intent(
            topic="a monthly budget",
            questions=(
                "How do I make a budget?",
                "How can I control my spending?",
                "Where does my money go every month?",
                "I never have money at the end of the month. What can I do?",
                "How do I plan my monthly expenses?",
            ),
            tips=(
                "list your income and your fixed costs",
                "set a limit for food and fun",
                "pay important bills first",
                "use cash for small purchases",
                "look at the numbers once a week",
                "keep a small reserve for surprises",
            ),
        ),
        Intent(
            topic="lower costs for {cost}",
            slots={
                "cost": (
                    "electricity",
                    "groceries",
                    "heating",
                    "insurance",
                    "transport",
                    "clothes",
                    "water",
                    "internet",
                )
            },
            questions=(
                "How can I spend less on {cost}?",
                "My costs for {cost} are too high. What can I do?",
                "How do I save on {cost}?",
                "What lowers the bill for {cost}?",
                "Any ideas to reduce the cost of {cost}?",
            ),
            tips=(
                "compare offers for {cost} once a year",
                "note how much {cost} you really use",
                "share costs with a neighbor",
                "ask the provider for a better price",
                "avoid waste in daily life",
                "plan your needs for {cost} in advance",
            ),
        ),
    ),
    vivid=(
        "Picture coins like golden drops that slowly fill a shimmering glass jar.",
        "Each saved note rustles softly, like a leaf on a silver tree.",
        "Your plan glows like a lantern at the end of a quiet harbor.",
        "Small sums sparkle and gather, like amber beads on a silky thread.",
    ),
    humorous=(
        "Money talks, but mine only ever says goodbye, ha ha!",
        "A fun warning: the sofa cushions may be your richest relatives.",
        "My piggy bank went on a diet, but yours can grow, ha ha!",
        "Joke of the day: the bank said hello, and my wallet said help.",
    ),
    touching=(
        "What counts in the end are the dear people that you share it with.",
        "Every saved coin can become a gift from the heart.",
        "Be tender with yourself, since money worries are heavy to carry.",
        "You will cherish the calm that comes with each small step.",
    ),
    creative=(
        "What if each coin jar belonged to a different future version of you?",
        "For an unusual twist, pay yourself a tiny salary for every good habit.",
        "Invent a paper currency for the family and trade in favors.",
        "Turn it into a month of adventures that cost nothing.",
    ),
    facts=(
        "many planners use 50 percent for needs, 30 for wants, and 20 for savings",
        "a reserve of 3 monthly incomes covers most surprises",
        "saving 5 a day adds up to 1825 in a year",
        "at 3 percent interest, money doubles in about 24 years",
    ),
    cautions=(
        "never share your bank code with anyone",
        "beware of offers that promise fast profit",
        "do not borrow money for things that you cannot afford",
        "read every contract before you sign it",
    ),
)

WORLD_FAMILIES: tuple[Family, ...] = (_STUDY, _MONEY)
