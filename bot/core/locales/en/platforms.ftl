# What belongs to one platform.

# Discord
whole-text-in-file = The rest does not fit here. The file below has all of it.

# Telegram: `@bot 0.7 prompt`, typed in any chat
inline-hint = Type how the text should begin, or nothing at all
inline-voice = { $book }, at { $temperature }
inline-typed = { $temperature } — as you typed
inline-out-of-range = Temperatures go from { $min } to { $max }
inline-placeholder = Writing …
inline-wait = The text takes this message’s place as soon as it is written.

# Telegram shows the first where a chat is still empty, at most 512 characters; the second in the profile, at most 120.
profile = I write in the manner of { $book }, one character after another. Send me how a text should begin, or just /{ $voice }. In a group, mention me, or reply to a text of yours and I write on from there.
profile-short = I write in the manner of { $book }.

# The terminal
cancelled = Stopped.
how-to-leave = Ctrl-D leaves; /help lists the commands.
picture-file = The training curve is a picture: { $path }
