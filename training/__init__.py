"""Makes the bundled model: corpus, tokenizer, training, evaluation."""

import os

# Threads that wait without spinning: they leave the processor to others on a shared machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
