"""Gardening."""

from __future__ import annotations

from training.content.family import Family, Intent

_PLANT = (
    "tomatoes", "roses", "basil", "strawberries", "sunflowers", "carrots", "lettuce", "tulips",
    "lavender", "peppers", "beans", "mint", "orchids", "blueberries", "herbs",
)  # fmt: skip

_GARDEN = Family(
    name="gardening",
    emoji=("🌱", "🌻", "🌷", "🍓"),
    intents=(
        Intent(
            topic="growing {plant}",
            slots={"plant": _PLANT},
            questions=(
                "How do I grow {plant}?",
                "When should I plant {plant}, and how?",
                "Can I grow {plant} on a balcony?",
                "What do {plant} need to thrive?",
                "My {plant} look weak. What can I do?",
                "I would like to have {plant} in my garden. Any advice?",
                "How can I take good care of {plant}?",
            ),
            tips=(
                "choose a sunny and sheltered spot",
                "loosen the soil and mix in compost",
                "water the {plant} early in the morning",
                "leave enough space between the {plant}",
                "remove dry leaves every week",
                "cover the soil with straw",
                "check the leaves for small insects",
            ),
        ),
        Intent(
            topic="a small garden",
            questions=(
                "How do I start a small garden?",
                "What can I plant on a tiny balcony?",
                "How do I make my garden look nicer?",
                "I have never gardened before. Where do I begin?",
                "What is an easy garden for beginners?",
            ),
            tips=(
                "watch where the sun falls during the day",
                "start with three easy plants",
                "use pots with holes at the bottom",
                "plant herbs close to the kitchen",
                "collect rain water in a barrel",
                "grow climbing beans along a wall",
            ),
        ),
        Intent(
            topic="{pest} in the garden",
            slots={"pest": ("snails", "aphids", "ants", "weeds", "moles", "caterpillars")},
            questions=(
                "How do I get rid of {pest}?",
                "There are {pest} in my garden. What helps?",
                "What can I do against {pest}?",
                "How can I protect my plants from {pest}?",
                "I have trouble with {pest}. Any ideas?",
            ),
            tips=(
                "remove the {pest} by hand in the evening",
                "invite birds with a small bath",
                "plant strong herbs between the beds",
                "keep the soil loose and clean",
                "place a barrier around young plants",
                "look under the leaves every few days",
            ),
        ),
    ),
    vivid=(
        "Velvet petals open in the golden light while bees hum over the beds.",
        "Picture emerald leaves shimmering with silver drops after the rain.",
        "The scent of warm earth rises, rich and dark as cocoa.",
        "Crimson blossoms glow against the cool green shade.",
    ),
    humorous=(
        "Talk to the plants, but worry if they answer, ha ha!",
        "A fun warning: the snails have already booked a table for dinner.",
        "You will soon be rooting for every little seed, ha ha!",
        "Joke of the day: gardeners always know the best ground rules.",
    ),
    touching=(
        "Every seed is a small promise that lives close to the heart.",
        "Whoever plants a garden leaves something dear for tomorrow.",
        "Your patience is a tender kind of love.",
        "You will cherish the first bloom like an old friend.",
    ),
    creative=(
        "What if each bed were planted in the colors of a famous painting?",
        "For an unusual twist, grow everything in old boots and teapots.",
        "Invent a tiny village with stones for the beetles.",
        "Turn it into a calendar in which a new corner blooms each month.",
    ),
    facts=(
        "most vegetables need at least 6 hours of sun a day",
        "a layer of 5 centimeters of mulch keeps the soil moist",
        "seeds sprout best when the soil has about 18 degrees Celsius",
        "1 healthy teaspoon of soil holds over 1000000 tiny creatures",
    ),
    cautions=(
        "wear gloves when you touch thorns or fertilizer",
        "keep poisonous plants away from children and pets",
        "store sharp tools in a locked shed",
        "protect your skin from strong sun",
    ),
)

GARDEN_FAMILIES: tuple[Family, ...] = (_GARDEN,)
