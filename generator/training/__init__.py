"""What `train.py` is made of. Needs the `train` extra; nothing that serves imports it."""


class TrainingError(Exception):
    """A run cannot start or go on; the message says what to do instead."""
