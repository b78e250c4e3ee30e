"""Adapters: each turns what happens on one platform into requests to `bot.core`, and shows its replies.

`base` and `text` are shared; each platform has a package. No rule about texts, temperatures or users enters here.
"""
