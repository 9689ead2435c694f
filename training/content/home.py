"""Birthdays, cooking, pets and the household."""

from __future__ import annotations

from training.content.family import Family, Intent

_WHO = (
    "my sister", "my brother", "my mother", "my father", "my best friend", "my grandmother",
    "my grandfather", "my neighbor", "my daughter", "my son", "my uncle", "my aunt",
    "my colleague", "my cousin", "a ten year old", "my teacher",
)  # fmt: skip
_DISH = (
    "pancakes", "tomato soup", "lentil curry", "vegetable pasta", "fried rice", "an omelette",
    "apple pie", "potato salad", "banana bread", "mushroom risotto", "chicken stew", "pizza",
    "roasted carrots", "a bean chili", "dumplings", "porridge",
)  # fmt: skip
_PET = (
    "cat", "dog", "rabbit", "hamster", "parrot", "goldfish", "guinea pig", "puppy", "kitten",
    "turtle", "canary", "ferret",
)  # fmt: skip
_ROOM = ("kitchen", "bedroom", "bathroom", "garage", "office", "living room", "closet", "attic",
         "hallway", "basement")  # fmt: skip

_BIRTHDAY = Family(
    name="birthday",
    emoji=("🎉", "🎂", "🎁", "🎈"),
    intents=(
        Intent(
            topic="a birthday for {who}",
            slots={"who": _WHO},
            questions=(
                "How should I plan a birthday for {who}?",
                "Plan a birthday for {who}",
                "Give me birthday ideas for {who}.",
                "What can we do for the birthday of {who}?",
                "I want to organize a birthday party for {who}. Any ideas?",
                "Can you suggest a nice birthday for {who}?",
                "Help me celebrate the birthday of {who}.",
            ),
            tips=(
                "bake a favorite cake together in the morning",
                "invite a few close friends for the afternoon",
                "choose music that {who2} enjoys",
                "prepare a small treasure hunt in the garden",
                "write a card with a shared memory",
                "set the table with flowers and candles",
                "plan one game that everybody can play",
                "end the evening with a favorite film",
            ),
        ),
        Intent(
            topic="a gift for {who}",
            slots={"who": _WHO},
            questions=(
                "What is a good gift for {who}?",
                "I need a present for {who}. What do you suggest?",
                "Which birthday gift would please {who}?",
                "Help me find a birthday present for {who}",
                "What should I give {who} for a birthday?",
                "Do you have gift ideas for {who}?",
            ),
            tips=(
                "listen for small wishes in the weeks before",
                "give a book that matches a hobby",
                "make a photo album of shared days",
                "offer tickets for a concert or a museum",
                "fill a basket with favorite snacks",
                "wrap the present in colorful paper",
                "choose something that {who2} can use every day",
            ),
        ),
        Intent(
            topic="a birthday on a small budget",
            questions=(
                "How can I throw a cheap birthday party?",
                "Any birthday ideas that cost very little?",
                "How do I celebrate a birthday on a small budget?",
                "I have little money for a party. What can I do?",
                "What is an inexpensive way to celebrate a birthday?",
            ),
            tips=(
                "meet for a picnic in the park",
                "ask each guest to bring one dish",
                "make decorations from old magazines",
                "borrow games from friends",
                "send the invitations by message",
                "bake a simple cake at home",
            ),
        ),
    ),
    vivid=(
        "Golden candlelight dances over the frosting while ribbons shimmer above the table.",
        "Picture crimson balloons swaying softly against a deep blue evening sky.",
        "The sweet scent of vanilla drifts through the room as laughter sparkles around the cake.",
        "Glittering paper rustles, and the warm glow of lanterns paints every cheek amber.",
    ),
    humorous=(
        "Just keep the fire brigade on speed dial for the candles, ha ha!",
        "A fun warning: the cake may disappear faster than the socks in your laundry.",
        "The balloons only come to the party because they were feeling deflated, ha ha!",
        "Joke of the day: age is only a number, but the cake comes in slices.",
    ),
    touching=(
        "Being remembered on this day is a gift that stays in the heart for years.",
        "A few honest words from the heart often mean more than any present.",
        "Those shared hours become memories that everyone will cherish.",
        "Hold this day close, for time with dear people is precious.",
    ),
    creative=(
        "What if every guest painted one tile of a giant birthday picture?",
        "For an unusual twist, celebrate the whole day backwards, starting with dessert.",
        "Invent a tiny museum of the past year, with one exhibit for each month.",
        "Turn it into a time travel party in which every room is another decade.",
    ),
    facts=(
        "a party of about 8 guests usually needs 1 cake of 24 centimeters",
        "candles on cakes have been a custom for more than 200 years",
        "most parties feel complete after about 3 hours",
        "invitations work best when they go out 2 or 3 weeks before",
    ),
    cautions=(
        "keep candles away from curtains and small children",
        "ask the guests about food allergies",
        "keep small balloons and tiny toys away from babies",
        "make sure that everyone has a way to get home",
    ),
)

_COOKING = Family(
    name="cooking",
    emoji=("🍲", "🍅", "👩‍🍳", "😋"),
    intents=(
        Intent(
            topic="{dish}",
            slots={"dish": _DISH},
            questions=(
                "How do I make {dish}?",
                "How can I cook {dish} at home?",
                "Give me a simple way to make {dish}.",
                "I want to cook {dish} tonight. How do I start?",
                "What is the trick to good {dish2}?",
                "Can you explain how to prepare {dish}?",
                "Teach me to make {dish}.",
            ),
            tips=(
                "put all ingredients on the counter first",
                "warm the pan slowly over medium heat",
                "taste often and add salt in small steps",
                "stir gently until everything is tender",
                "finish with fresh herbs and a little lemon",
                "let {dish} rest for a moment before serving",
                "cut everything into pieces of the same size",
                "serve {dish} with a crisp green salad",
            ),
        ),
        Intent(
            topic="dinner with {food}",
            slots={"food": ("rice", "eggs", "potatoes", "beans", "spinach", "chicken", "noodles",
                            "tomatoes", "cheese", "mushrooms", "lentils", "cabbage")},
            questions=(
                "What can I cook with {food}?",
                "I only have {food} at home. What can I make?",
                "Any dinner ideas with {food}?",
                "What is a quick meal with {food}?",
                "Suggest a dinner that uses {food}.",
            ),
            tips=(
                "fry the {food} with onions and garlic",
                "make a warm soup with {food} and carrots",
                "bake the {food} in the oven with some herbs",
                "mix the {food} with olive oil and pepper",
                "add a spoon of yogurt at the end",
                "serve everything with toasted bread",
            ),
        ),
        Intent(
            topic="healthy eating",
            questions=(
                "How can I eat more vegetables?",
                "How do I cook healthier meals?",
                "What are easy healthy lunches?",
                "I want to eat better. Where do I begin?",
                "Can you give me ideas for healthy cooking?",
            ),
            tips=(
                "fill half of the plate with vegetables",
                "cook a large pot of soup for the week",
                "keep washed fruit within easy reach",
                "replace sweet drinks with water",
                "try one new vegetable every week",
                "roast carrots and peppers in the oven",
            ),
        ),
    ),
    vivid=(
        "Butter crackles in the pan, and a golden scent of garlic curls through the kitchen.",
        "Picture ruby tomatoes glistening beside a silky ribbon of olive oil.",
        "Steam rises in silver clouds while amber onions shimmer in the heat.",
        "The crust breaks with a crisp whisper and the scent of warm herbs fills the air.",
    ),
    humorous=(
        "If the smoke alarm cheers for you, dinner is ready, ha ha!",
        "A fun warning: onions are the only vegetables that cry back at you.",
        "My cooking show would be called a comedy, but yours has real promise, ha ha!",
        "Joke of the day: the tomato blushed because it saw the salad dressing.",
    ),
    touching=(
        "A meal made with love can warm the heart more than any stove.",
        "Somebody at your table will cherish this simple dinner for a long time.",
        "Cooking for dear people is a quiet way to say that they matter.",
        "May every bite carry a tender memory of home to your heart.",
    ),
    creative=(
        "What if the meal told a story, with each bite as a new chapter?",
        "For an unusual twist, arrange the plate like a map of an island.",
        "Invent a secret spice blend and give it a heroic name.",
        "Turn it into a blind tasting in which the guests guess every flavor.",
    ),
    facts=(
        "most vegetables keep more vitamins when they cook for less than 10 minutes",
        "a pinch of salt is about 0.3 grams",
        "meat is done when its center reaches 74 degrees Celsius",
        "dried beans double their weight after 8 hours in water",
    ),
    cautions=(
        "turn the pan handle away from the edge of the stove",
        "wash your hands after touching raw meat",
        "keep sharp knives out of reach of children",
        "never leave hot oil alone on the stove",
    ),
)

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
            slots={"stuff": ("coffee", "red wine", "ink", "grass", "chocolate", "oil", "mud",
                             "tea", "paint")},
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

HOME_FAMILIES: tuple[Family, ...] = (_BIRTHDAY, _COOKING, _PETS, _HOUSEHOLD)
