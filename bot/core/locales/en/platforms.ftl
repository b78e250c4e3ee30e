# What belongs to one platform.

# Discord
whole-text-in-file = The rest does not fit here. The file below has all of it.

# Telegram: `@bot 0.7 prompt`, typed in any chat
inline-title = Write a text
inline-hint = 0.7 and a prompt, or nothing at all
inline-placeholder = Writing …
inline-wait = The text takes this message’s place as soon as it is written.

# The terminal
cancelled = Stopped.
how-to-leave = Ctrl-D leaves; /help lists the commands.
picture-file = The training curve is a picture: { $path }
