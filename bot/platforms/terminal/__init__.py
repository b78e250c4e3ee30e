"""The bot in a terminal (`prompt`), and on standard input and output (`pipe`).

Escape sequences, history and completion enter here. The library prompt_toolkit is imported nowhere else.
"""
