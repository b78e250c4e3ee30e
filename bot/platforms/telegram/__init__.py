"""Telegram: commands, inline mode and buttons through python-telegram-bot, by long polling or webhook.

Telegram's limits stand here with their source. The library is imported nowhere else.
"""
