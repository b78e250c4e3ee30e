"""What each command means, once for every platform: a request comes in, a `Reply` goes out.

Rules about texts, temperatures, users and queues enter here. Nothing platform-specific does, and no network I/O.
"""
