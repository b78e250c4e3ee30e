"""What `train.py` is made of. Needs the `train` extra; nothing that serves imports it."""
