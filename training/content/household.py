"""Pets and the household."""

from __future__ import annotations

from training.content.family import Family, Intent

_PET = (
    "cat", "dog", "rabbit", "hamster", "parrot", "goldfish", "guinea pig", "puppy", "kitten",
    "turtle", "canary", "ferret",
)  # fmt: skip
_ROOM = ("kitchen", "bedroom", "bathroom", "garage", "office", "living room", "closet", "attic",
         "hallway", "basement")  # fmt: skip

_PETS = Family(
    name="pets",
    emoji=("🐶", "🐱", "🐾", "🐰"),
    intents=(
        Intent(
            topic="caring for a {pet}",
            slots={"pet": _PET},
            questions=(
                "How do I take care of a {pet}?",
                "What does a {pet} need?",
                "I just got a {pet}. What should I know?",
                "How can I keep my {pet} happy?",
                "What is the best way to look after a {pet}?",
                "We are adopting a {pet}. Any advice?",
            ),
            tips=(
                "give the {pet} a quiet place to rest",
                "offer fresh water every morning",
                "feed the {pet} at the same time each day",
                "keep the sleeping place clean and dry",
                "visit the vet for a regular check",
                "play with the {pet} for a while every day",
                "learn which foods suit the {pet}",
            ),
        ),
        Intent(
            topic="teaching a {pet}",
            slots={"pet": ("cat", "dog", "rabbit", "parrot", "puppy", "kitten", "ferret")},
            questions=(
                "How do I train my {pet}?",
                "Can I teach my {pet} a trick?",
                "My {pet} does not listen. What can I do?",
                "What is a good way to teach a {pet}?",
                "How can I teach my {pet} good manners?",
            ),
            tips=(
                "reward the {pet} with a small treat",
                "keep each lesson short and calm",
                "repeat the same word for the same trick",
                "practice in a quiet room",
                "stop before the {pet} gets tired",
                "praise every small success",
            ),
        ),
        Intent(
            topic="a nervous {pet}",
            slots={"pet": _PET},
            questions=(
                "My {pet} is scared of loud noises. What helps?",
                "How do I calm a nervous {pet}?",
                "My {pet} seems afraid at night. What should I do?",
                "Why does my {pet} hide all day, and what can I do?",
                "What can I do for an anxious {pet}?",
            ),
            tips=(
                "prepare a dark and cozy corner",
                "speak to the {pet} in a soft voice",
                "keep the daily routine steady",
                "leave a familiar blanket nearby",
                "wait until the {pet} comes to you",
                "ask a vet if the fear does not pass",
            ),
        ),
    ),
    vivid=(
        "Velvet ears twitch in the golden morning light while tiny paws tap on the floor.",
        "Picture bright amber eyes gleaming from a nest of soft blankets.",
        "A warm, silky coat glows in the sun as a gentle rumble fills the room.",
        "Fur ripples like tall grass, and whiskers shimmer with drops of fresh water.",
    ),
    humorous=(
        "Be ready to be promoted to full time butler, ha ha!",
        "A fun warning: your sofa now belongs to somebody with a tail.",
        "Your new boss pays in stares and leaves no tips, ha ha!",
        "Joke of the day: the pet runs the house, and you only pay the rent.",
    ),
    touching=(
        "In return you receive a loyal heart that waits for you every evening.",
        "A small friend like this will cherish every minute with you.",
        "Few things are as tender as the trust of an animal.",
        "You are the whole world to that little heart.",
    ),
    creative=(
        "What if you built a small castle from cardboard boxes for your friend?",
        "For an unusual twist, compose a short song that announces every meal.",
        "Invent a secret hand signal that only the two of you know.",
        "Turn it into an indoor safari with hidden treats as treasure.",
    ),
    facts=(
        "most pets sleep more than 10 hours a day",
        "short lessons of 5 minutes work better than long ones",
        "a yearly visit to the vet finds about 8 of 10 problems early",
        "many animals hear sounds far above 20000 hertz",
    ),
    cautions=(
        "keep chocolate and grapes far away from your pet",
        "check that windows and balconies are closed",
        "never punish an animal, because fear can lead to bites",
        "keep cleaning products locked away from paws and noses",
    ),
)

_HOUSEHOLD = Family(
    name="household",
    emoji=("🏠", "🧹", "🧺", "🛋️"),
    intents=(
        Intent(
            topic="a tidy {room}",
            slots={"room": _ROOM},
            questions=(
                "How do I clean my {room}?",
                "My {room} is a mess. Where do I start?",
                "How can I keep the {room} tidy?",
                "What is a quick way to organize the {room}?",
                "Help me tidy the {room}.",
                "Any advice for a messy {room}?",
            ),
            tips=(
                "open a window and let fresh air into the {room}",
                "begin with one small corner",
                "sort things into keep, give, and throw away",
                "wipe the shelves from top to bottom",
                "put a basket near the door for loose items",
                "give every object in the {room} a fixed place",
                "sweep the floor at the very end",
            ),
        ),
        Intent(
            topic="a stain of {stuff}",
            slots={
                "stuff": (
                    "coffee",
                    "red wine",
                    "ink",
                    "grass",
                    "chocolate",
                    "oil",
                    "mud",
                    "tea",
                    "paint",
                )
            },
            questions=(
                "How do I remove a stain of {stuff}?",
                "I spilled {stuff} on my shirt. What now?",
                "What helps against {stuff} stains?",
                "Can I get {stuff} out of a carpet?",
                "There is {stuff} on the sofa. How do I clean it?",
            ),
            tips=(
                "dab the stain with a clean cloth",
                "rinse the {stuff} with cold water",
                "use a little mild soap",
                "test a hidden spot before you begin",
                "work from the edge toward the middle",
                "let the fabric dry in fresh air",
            ),
        ),
    ),
    vivid=(
        "Sunlight spills over the gleaming floor, and the scent of lemon hangs in the air.",
        "Picture folded linen glowing like fresh snow in the golden afternoon.",
        "Dust swirls like tiny stars until the room shimmers again.",
        "Polished wood glows amber while cool air ripples through white curtains.",
    ),
    humorous=(
        "The dust bunnies have already packed their bags in fear, ha ha!",
        "A fun warning: you may find three lost socks and a long forgotten sandwich.",
        "The vacuum cleaner really knows how to pick things up, ha ha!",
        "Joke of the day: cleaning with children around is like brushing teeth with cookies.",
    ),
    touching=(
        "A cared for home holds the heart of everyone who lives there.",
        "Be tender with yourself, because a home is made of life and not of order.",
        "One day you will cherish even the little marks that your family left.",
        "Every clean corner is a quiet gift to the dear people around you.",
    ),
    creative=(
        "What if each song on your playlist decided which shelf comes next?",
        "For an unusual twist, pretend that a famous museum will exhibit the place tomorrow.",
        "Invent a small label with a funny name for every box.",
        "Turn it into a treasure hunt with a prize for the oldest find.",
    ),
    facts=(
        "a session of 15 minutes a day keeps most rooms in order",
        "fresh stains come out about 3 times more easily than old ones",
        "dust settles again within about 6 hours",
        "airing a room for 10 minutes replaces nearly all of its air",
    ),
    cautions=(
        "never mix bleach with other cleaning products",
        "stand on a stable ladder instead of a chair",
        "wear gloves when you use strong cleaners",
        "unplug electric devices before you wipe them",
    ),
)

HOUSEHOLD_FAMILIES: tuple[Family, ...] = (_PETS, _HOUSEHOLD)
