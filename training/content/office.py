"""Tech help and work."""

from __future__ import annotations

from training.content.family import Family, Intent

_DEVICE = (
    "phone", "laptop", "printer", "tablet", "router", "camera", "keyboard", "television",
    "headset", "computer", "smart watch",
)  # fmt: skip

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
            slots={
                "account": (
                    "email account",
                    "phone",
                    "home network",
                    "bank account",
                    "photo library",
                    "laptop",
                )
            },
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
            slots={
                "event": (
                    "a job interview",
                    "a meeting",
                    "a presentation",
                    "a first day at work",
                    "a team lunch",
                    "a salary talk",
                    "a phone call with a client",
                    "a long project",
                )
            },
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

OFFICE_FAMILIES: tuple[Family, ...] = (_TECH, _WORK)
