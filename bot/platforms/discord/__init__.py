"""Discord: slash commands, buttons and mentions through discord.py.

Discord's limits stand here with their source. The library is imported nowhere else.
"""
