"""Travel and fitness."""

from __future__ import annotations

from training.content.family import Family, Intent

_CITY = (
    "Paris", "Rome", "Lisbon", "Vienna", "Prague", "Kyoto", "Oslo", "Dublin", "Athens", "Madrid",
    "Toronto", "Sydney", "Cairo", "Lima", "Seoul", "Berlin", "Naples", "Boston", "Istanbul",
)  # fmt: skip
_TRAVEL = Family(
    name="travel",
    emoji=("✈️", "🌍", "🧳", "🏖️"),
    intents=(
        Intent(
            topic="a trip to {city}",
            slots={"city": _CITY},
            questions=(
                "What should I see in {city}?",
                "Plan a weekend in {city}.",
                "I am going to {city}. What should I do there?",
                "How do I spend two days in {city}?",
                "Can you suggest a trip to {city}?",
                "What is worth visiting in {city}?",
                "Give me travel tips for {city}.",
            ),
            tips=(
                "walk through the old center of {city} in the morning",
                "visit a local market for breakfast",
                "buy a day pass for buses and trains",
                "see {city} from a hill or a tower",
                "book the best known museum in advance",
                "try a small restaurant away from the main square",
                "leave one afternoon in {city} free for surprises",
            ),
        ),
        Intent(
            topic="packing for {trip}",
            slots={
                "trip": (
                    "a beach holiday",
                    "a ski trip",
                    "a long flight",
                    "a camping trip",
                    "a business trip",
                    "a train journey",
                    "a weekend away",
                    "a hiking tour",
                )
            },
            questions=(
                "What should I pack for {trip}?",
                "How do I pack for {trip}?",
                "Help me prepare for {trip}.",
                "What do I need for {trip}?",
                "Can you give me a packing list for {trip}?",
            ),
            tips=(
                "write a short list two days before",
                "roll the clothes to save space",
                "carry a copy of your papers",
                "bring shoes that suit {trip}",
                "leave some room for souvenirs",
                "keep a charger and a snack in the hand luggage",
            ),
        ),
        Intent(
            topic="cheap travel",
            questions=(
                "How can I travel cheaply?",
                "How do I save money on a vacation?",
                "What are good ways to travel on a budget?",
                "How can I find cheap flights?",
                "I want a holiday but have little money. Any ideas?",
            ),
            tips=(
                "travel outside the busy season",
                "compare prices on several days of the week",
                "stay in small family hotels",
                "cook a few meals yourself",
                "take the night train",
                "look for free museum days",
            ),
        ),
    ),
    vivid=(
        "Picture rooftops glowing like embers under a crimson sunset.",
        "The scent of roasted coffee drifts through narrow lanes of golden stone.",
        "Silver water shimmers below the bridges while bells ripple through the air.",
        "Bright spices sparkle in the market like a carpet of amber and ruby.",
    ),
    humorous=(
        "Your suitcase will somehow gain more weight than you do, ha ha!",
        "A fun warning: you will get lost and call it a walking tour.",
        "The map says ten minutes, but the ice cream shop disagrees, ha ha!",
        "Joke of the day: I would tell you a travel story, but it has too much baggage.",
    ),
    touching=(
        "Some places stay in the heart long after the suitcase is unpacked.",
        "Share the view with someone dear, and you will cherish it forever.",
        "A postcard from far away can be a tender little hug for those at home.",
        "May the road bring you back with a full and grateful heart.",
    ),
    creative=(
        "What if you followed only the color blue for one whole day?",
        "For an unusual twist, let a coin decide at every second corner.",
        "Invent a character and write postcards in that voice.",
        "Turn it into a sound hunt and record one noise in every street.",
    ),
    facts=(
        "flights booked about 6 weeks ahead are often the cheapest",
        "most museums are least crowded before 10 in the morning",
        "a good walking pace covers around 5 kilometers in an hour",
        "many passports must be valid for 6 months after arrival",
    ),
    cautions=(
        "keep your passport and money close to your body",
        "save the local emergency number in your phone",
        "tell someone at home where you are going",
        "avoid empty streets late at night",
    ),
)

_FITNESS = Family(
    name="fitness",
    emoji=("💪", "🏃", "🚴", "🧘"),
    intents=(
        Intent(
            topic="{sport}",
            slots={
                "sport": (
                    "running",
                    "swimming",
                    "yoga",
                    "cycling",
                    "rowing",
                    "climbing",
                    "dancing",
                    "hiking",
                    "tennis",
                    "strength training",
                    "skating",
                )
            },
            questions=(
                "How do I start with {sport}?",
                "I want to take up {sport}. Any advice?",
                "How can I get better at {sport}?",
                "Is {sport} good for beginners, and how do I begin?",
                "Give me a plan for {sport}.",
                "What should a beginner know about {sport}?",
            ),
            tips=(
                "begin with two short sessions a week",
                "warm up slowly before {sport}",
                "wear shoes and clothes that fit well",
                "drink water before and after {sport}",
                "take a rest day between hard sessions",
                "write down what you did each time",
                "find a partner who also enjoys {sport}",
            ),
        ),
        Intent(
            topic="{goal}",
            slots={
                "goal": (
                    "better sleep",
                    "a stronger back",
                    "more energy",
                    "a daily routine",
                    "losing weight",
                    "more balance",
                    "flexible shoulders",
                )
            },
            questions=(
                "What helps with {goal}?",
                "How do I work on {goal}?",
                "My aim is {goal}. What should I do?",
                "Which exercises are good for {goal}?",
                "Can you help me with {goal}?",
            ),
            tips=(
                "go for a walk after every meal",
                "stretch gently in the morning",
                "set a small goal for each week",
                "move at the same time every day",
                "go to bed a little earlier",
                "choose an activity that you enjoy",
            ),
        ),
    ),
    vivid=(
        "Picture cool morning air on your skin while the golden path unrolls before you.",
        "Your breath rises in silver clouds, and the grass shimmers with dew.",
        "Muscles glow with warmth as your steps drum softly on the crimson track.",
        "Wind ripples past your ears and sunlight sparkles on every drop of sweat.",
    ),
    humorous=(
        "Lifting a spoon of ice cream does not count as weight training, ha ha!",
        "A fun warning: your legs may send you an angry letter tomorrow.",
        "Even your shoes will be tired, but they never tell, ha ha!",
        "Joke of the day: I exercise daily by running late.",
    ),
    touching=(
        "Be tender with your body, for it has carried you through every day.",
        "Each small step is a gift to your own heart.",
        "The people who hold you dear will be proud of you.",
        "You will cherish the morning when it suddenly feels easy.",
    ),
    creative=(
        "What if every session were a scene in an adventure film about you?",
        "For an unusual twist, draw a picture with your route on the map.",
        "Invent a victory dance for each finished week.",
        "Turn it into a board game in which each session moves a piece.",
    ),
    facts=(
        "adults profit from about 150 minutes of movement in a week",
        "a new habit settles after roughly 60 days",
        "muscles need around 48 hours to recover from hard work",
        "a brisk walk of 30 minutes burns about 150 calories",
    ),
    cautions=(
        "stop at once if you feel sharp pain or become dizzy",
        "ask a doctor before a hard program if you have been ill",
        "raise the load only in small steps",
        "wear bright clothes when you train in the dark",
    ),
)

OUTDOOR_FAMILIES: tuple[Family, ...] = (_TRAVEL, _FITNESS)
