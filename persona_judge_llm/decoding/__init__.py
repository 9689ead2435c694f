"""Two decoders of one law: the dual lockstep loop, and the paper's loop as the reference."""
