"""Makes the bundled model: corpus, tokenizer, training, evaluation."""

import os

# Threads that wait without spinning: on a shared machine a step takes less than half of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
