# Why something is not done, and what to do instead.

no-argument = /{ $command } takes nothing behind it. For another prompt or temperature, type /nietzsche.
no-text = You have no text here yet. Begin one with /nietzsche.
old-text = I keep your last ten texts here, and this is none of them. Begin a new one with /nietzsche.
voice-gone = The voice that wrote this, { $name }, is not here any more. Begin a new text; /voices lists whose manners I know.
not-your-text = That belongs to someone else. Ask for your own, for example with /nietzsche.
no-such-button = That button does nothing any more. Begin a new text with /nietzsche.
unknown-command = I know no command /{ $command }. /help lists what I know.
unknown-command-nearest = I know no command /{ $command }. Did you mean /{ $nearest }?
words-only = I can only read words: send me how a text should begin, or /help.
unknown-language = I do not speak { $typed }. I know: { $known }. Type /language and one of these, or /language auto.
not-a-temperature = { $typed } is no temperature of mine: they are numbers from { $min } (careful) to { $max } (wild). Type /temperature 0.7, or /temperature default; a text that begins with it is /nietzsche 0.7 { $typed } …
out-of-range = { $typed } is no temperature of mine: they are numbers from { $min } (careful) to { $max } (wild), so the nearest is { $nearest }. Type /temperature 0.7, or /temperature default; a text that begins with it is /nietzsche 0.7 { $typed } …
invalid-request = I cannot write that: { $reason }. Try /nietzsche 0.7.
outdated-form = I do not understand that form of /{ $command }. Wait a minute for Discord to learn the new one, then try again.
queue-full = You have asked for too much at once, so I leave this out. Ask again when the rest is answered.
chat-full = Telegram does not let me say that much in one chat. Ask again in a minute.
overloaded = Too many people want something just now. Ask again in a few seconds.
overloaded-texts = Too many people want a text just now. Try again in { $seconds ->
    [one] a second
   *[other] { $seconds } seconds
}.
cooldown = Give me a moment: you can have your next text in { $seconds ->
    [one] a second
   *[other] { $seconds } seconds
}.
restarting = I am being restarted. Try again in a minute.
model-failed = That text went wrong while I wrote it. Try again.
unavailable = The machines that write for me cannot be reached just now. Try again in a minute.
weights-refused = The weights stay as they were: { $reason }
store-failed = I cannot reach my memory just now, and I need it for that. Try again in a minute.
unconfirmed = My last message may not have reached you. If it is not here, ask again.
unexpected = Something broke on my side. The people who run me can see it in the log. Please try again.
only-in-private = /{ $command } shows what is not for everyone here. Send it to me in a private chat.
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
not-a-length = { $typed } is no length of mine: they are whole numbers from 1 to { $longest } characters. Type /length 800, or /length default.
administrators-only = Only administrators of this group may change that.
administrators-write = In this group I write for its administrators alone. You can write to me in private.
no-curve = These weights have no training curve. /about says what they are.
