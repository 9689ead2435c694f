"""Study help, money, tech help and work."""

from __future__ import annotations

from training.content.family import Family, Intent

_SUBJECT = (
    "math", "history", "biology", "chemistry", "French", "Spanish", "geography", "physics",
    "grammar", "statistics", "Latin", "music theory", "programming", "economics",
)  # fmt: skip
_DEVICE = (
    "phone", "laptop", "printer", "tablet", "router", "camera", "keyboard", "television",
    "headset", "computer", "smart watch",
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
            slots={"text": ("an essay", "a report", "a speech", "a short story", "a summary",
                            "a thesis", "a letter", "a poem")},
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
            slots={"aim": ("a house", "a car", "a holiday", "college", "a new bike", "a wedding",
                           "retirement", "a computer", "an emergency", "a piano")},
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
            slots={"cost": ("electricity", "groceries", "heating", "insurance", "transport",
                            "clothes", "water", "internet")},
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

_TECH = Family(
    name="tech",
    emoji=("💻", "📱", "🔧", "🖨️"),
    intents=(
        Intent(
            topic="a {device} that fails",
            slots={"device": _DEVICE},
            questions=(
                "My {device} does not work. What should I do?",
                "How do I fix a slow {device}?",
                "My {device} keeps freezing. Any ideas?",
                "What can I do if my {device} will not turn on?",
                "Help, there is a problem with my {device}.",
                "Why is my {device} so slow, and how do I fix it?",
                "My {device} is broken again. What helps?",
            ),
            tips=(
                "turn the {device} off and on again",
                "check every cable and plug",
                "install the latest updates",
                "charge or connect the {device} for an hour",
                "close programs that you do not need",
                "free some space on the {device}",
                "write down the exact error message",
            ),
        ),
        Intent(
            topic="a secure {account}",
            slots={"account": ("email account", "phone", "home network", "bank account",
                               "photo library", "laptop")},
            questions=(
                "How do I protect my {account}?",
                "How can I make my {account} more secure?",
                "I think someone used my {account}. What now?",
                "What keeps a {account} secure?",
                "Is my {account} secure, and what can I improve?",
            ),
            tips=(
                "choose a long and unique password",
                "turn on a second login step for the {account}",
                "keep a backup in another place",
                "install updates as soon as they arrive",
                "ignore links from unknown senders",
                "check the list of recent logins",
            ),
        ),
    ),
    vivid=(
        "Picture the dark screen waking up in a soft glow of silver and blue.",
        "Tiny lights shimmer like stars while the fan hums a low, velvet note.",
        "Cables curl like ivy beside the amber light on the desk.",
        "The screen sparkles again, clear as golden morning air.",
    ),
    humorous=(
        "Have you tried an apology and a cookie, ha ha?",
        "A fun warning: threatening it with a hammer works only in films.",
        "It must have a virus, for it keeps sneezing at your files, ha ha!",
        "Joke of the day: the computer was tired because it had a hard drive.",
    ),
    touching=(
        "Take heart, everyone feels a little lost with machines at times.",
        "Your dear photos and memories deserve this bit of care.",
        "Be tender with yourself, for this is not your fault.",
        "Someone who can cherish a patient moment has already won.",
    ),
    creative=(
        "What if you drew the problem as a map with a dragon at the error?",
        "For an unusual twist, explain the fault to a rubber duck.",
        "Invent a name for the machine and keep its diary.",
        "Turn it into a detective story and collect clues one by one.",
    ),
    facts=(
        "a restart solves about 7 of 10 common faults",
        "a password of 14 characters is far harder to guess than one of 8",
        "batteries last longest between 20 and 80 percent of charge",
        "devices slow down when less than 10 percent of the memory is free",
    ),
    cautions=(
        "unplug the power before you open any device",
        "do not give strangers remote access",
        "back up your files before you change settings",
        "never use a swollen battery",
    ),
)

_WORK = Family(
    name="work",
    emoji=("💼", "📈", "🗓️", "🤝"),
    intents=(
        Intent(
            topic="{event}",
            slots={"event": ("a job interview", "a meeting", "a presentation", "a first day at work",
                             "a team lunch", "a salary talk", "a phone call with a client",
                             "a long project")},
            questions=(
                "How do I prepare for {event}?",
                "I have {event} tomorrow. What should I do?",
                "What helps with {event}?",
                "Can you give me advice for {event}?",
                "How can I do well at {event}?",
                "I am nervous about {event}. Any ideas?",
            ),
            tips=(
                "write down three main points",
                "practice {event} with a friend",
                "arrive a little early",
                "prepare two thoughtful questions",
                "lay out your clothes the evening before",
                "listen first and speak calmly",
                "send a short note of thanks afterward",
            ),
        ),
    ),
    vivid=(
        "Picture calm morning light on a polished table and a glass of sparkling water.",
        "Your voice glows warm and steady, like amber in the sun.",
        "Papers rustle, pens gleam, and golden light spills over the desk.",
        "The room falls silent as velvet when you begin.",
    ),
    humorous=(
        "Remember that the printer can smell fear, ha ha!",
        "A fun warning: someone will say that you are on mute.",
        "Coffee will also attend, and it is the strongest in the room, ha ha!",
        "Joke of the day: my desk and I have a stable relationship.",
    ),
    touching=(
        "Take heart, for you bring more than you think.",
        "Someone dear is quietly proud of you today.",
        "A tender word to a nervous colleague can change a whole day.",
        "You will cherish the moment when you dared to speak.",
    ),
    creative=(
        "What if you told the whole story with three everyday objects?",
        "For an unusual twist, open with a question that nobody expects.",
        "Invent a tiny ritual that starts every task.",
        "Turn it into a film script with you as the calm hero.",
    ),
    facts=(
        "first impressions form in about 7 seconds",
        "people remember around 3 main points of a talk",
        "meetings of 30 minutes are often as useful as those of 60",
        "a slide reads best with fewer than 20 words",
    ),
    cautions=(
        "keep private data out of shared documents",
        "take breaks so that you do not burn out",
        "speak to someone you trust if you are treated badly",
        "never send an angry message at night",
    ),
)

WORLD_FAMILIES: tuple[Family, ...] = (_STUDY, _MONEY, _TECH, _WORK)
