# Why something is not done, and what to do instead.
# $voice, here and in the other files: the command of the voice that writes where none is named, such as nietzsche.

no-argument = /{ $command } takes no arguments. For another prompt or temperature, type /{ $voice }.
no-text = You have no text here yet. Start one with /{ $voice }.
old-text = I keep your last ten texts here, and this one is older. Start a new one with /{ $voice }.
voice-gone = The voice { $name } is no longer here. Start a new text; /voices lists the others.
not-your-text = That belongs to someone else. Ask for your own, for example with /{ $voice }.
no-such-button = This button no longer works. Start a new text with /{ $voice }.
unknown-command = There is no command /{ $command }. /help lists the commands.
unknown-command-nearest = There is no command /{ $command }. Did you mean /{ $nearest }?
words-only = I can only read words: send me how a text should begin, or /help.
unknown-language = I do not speak { $typed }. I know: { $known }. Type /language and one of these, or /language auto.
not-a-temperature = { $typed } is not a temperature. Use a number from { $min } (careful) to { $max } (wild), as in /temperature 0.7, or /temperature default. To begin a text with it, type /{ $voice } 0.7 { $typed } …
out-of-range = { $typed } is out of range: a temperature is a number from { $min } (careful) to { $max } (wild), so the nearest is { $nearest }. Type /temperature 0.7, or /temperature default. To begin a text with it, type /{ $voice } 0.7 { $typed } …
invalid-request = My network cannot do that. Try /{ $voice } 0.7.
outdated-form = I do not understand that form of /{ $command }. Wait a minute for Discord to learn the new one, then try again.
queue-full = You have too many requests waiting, so I skipped this one. Ask again when the others are answered.
chat-full = Telegram limits what I may send to one chat. Ask again in a minute.
overloaded = Too many requests right now. Try again in a few seconds.
overloaded-texts = Too many people want a text right now. Try again in { $seconds ->
    [one] a second
   *[other] { $seconds } seconds
}.
cooldown = Give me a moment: you can have your next text in { $seconds ->
    [one] a second
   *[other] { $seconds } seconds
}.
restarting = I am restarting. Try again in a minute.
model-failed = That text went wrong while I wrote it. Try again.
unavailable = The generator cannot be reached right now. Try again in a minute.
weights-refused = The weights stay as they were: { $reason }
store-failed = I cannot reach my database right now, and I need it for that. Try again in a minute.
unconfirmed = My last message may not have reached you. If it is not here, ask again.
unexpected = Something went wrong on my side, and it is in the log. Please try again.
only-in-private = The answer to /{ $command } is not for everyone here. Send it to me in a private chat.
not-allowed = I do not answer here: the people who run me decide who may use me, and where.
# $left: what is left of the day's $limit. $hours, $minutes: until the next day.
quota = { $left ->
    [0] { $scope ->
        [chat] This chat has had
       *[user] You have had
    }
   *[other] { $scope ->
        [chat] This chat has
       *[user] You have
    } { $left } left of
} today’s { $limit } { $unit ->
    [texts] { $limit ->
        [one] text
       *[other] texts
    }
   *[characters] characters
}{ $left ->
    [0] {""}
   *[other] , and that would take more
}. I can write more in { $hours ->
    [0] { $minutes ->
        [one] a minute
       *[other] { $minutes } minutes
    }
    [one] an hour
   *[other] { $hours } hours
}.
config-refused = The configuration stays as it was: { $reason }
not-a-length = { $typed } is not a length. Use a whole number from 1 to { $longest } characters, as in /length 800, or /length default.
administrators-only = Only administrators of this group may change that.
administrators-write = In this group only administrators can ask for texts. You can write to me in private.
no-curve = These weights have no training curve. /about says what they are.
