"""Birthdays and cooking."""

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
            slots={
                "food": (
                    "rice",
                    "eggs",
                    "potatoes",
                    "beans",
                    "spinach",
                    "chicken",
                    "noodles",
                    "tomatoes",
                    "cheese",
                    "mushrooms",
                    "lentils",
                    "cabbage",
                )
            },
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

HOME_FAMILIES: tuple[Family, ...] = (_BIRTHDAY, _COOKING)
