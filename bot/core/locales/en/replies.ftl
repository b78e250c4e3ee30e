# What the commands answer. Lines of one message stay separate lines.

## What the bot is

# The title of the book, in the place of its file's name. $name: the shipped corpus, or the name of another's file.
book = { $name ->
    [nietzsche] Nietzsche’s “Beyond Good and Evil” and “Human, All Too Human”
   *[other] { $name }
}
greeting = I write in the manner of { $book }, one character after another. Try /{ $voice } 0.7 — the number is the temperature, from { $min } (careful) to { $max } (wild). /help lists the rest.
greeting-voices = /voices lists whose manners I know.
voice-restarts = is being restarted; try again in a minute
welcome = Hello! I write in the manner of { $book }. Type /{ $voice }, or mention me and how a text should begin; reply to a text of yours, and I write on from there. /help lists the rest.
summary = weights { $version } · { NUMBER($bits, minimumFractionDigits: 2, maximumFractionDigits: 2) } bits per character · trained on { $corpus }
about-book = I write in the manner of { $book }: a recurrent network that learnt from its { $characters } characters, and draws mine one by one.
about-pretraining = Before that it read other texts: { $texts }.
about-start = It started from the weights { $version }.
about-weights = Weights: { $version } ({ $preset }, { $parameters } parameters).
# A perplexity: as unsure as if it had so many equal choices.
about-quality = In a text that I never saw, I am as unsure of the next character as if I had to choose among { NUMBER($choices, minimumFractionDigits: 1, maximumFractionDigits: 1) }; a blind guess chooses among { $symbols }.
about-figures = In figures: { NUMBER($valid, minimumFractionDigits: 3, maximumFractionDigits: 3) } bits per character (validation; test: { NUMBER($test, minimumFractionDigits: 3, maximumFractionDigits: 3) }; a blind guess: { NUMBER($blind, minimumFractionDigits: 1, maximumFractionDigits: 1) }). Less is better.
about-license = The text that I learnt from: { $license }
about-curve = How I learnt: /about { $arguments }
about-card = A sentence of mine, shaded: { $text }
button-curve = Training curve
curve = Training curve of { $version }: bits per character of training and validation, epoch by epoch. The epoch that was kept reaches { NUMBER($bits, minimumFractionDigits: 3, maximumFractionDigits: 3) } on text that it never saw.

## Texts

rung = Temperature { $temperature }
ladder-ignores = A ladder has temperatures of its own, so I left out the { $temperature }.
ladder-end = /continue continues the last of these.
not-saved = I could not keep this text, so /continue and /again do not know it.
prompt-shortened = That prompt is long, so I read its last { $characters } characters.
# $count: characters that the network does not know; 0 when nothing is left of the prompt.
prompt-changed = I { $change ->
    [dropped] left out { $dropped }
    [replaced] wrote { $replaced }
   *[both] left out { $dropped } and wrote { $replaced }
}: { $count ->
    [0] nothing was left of the prompt, so I began on my own
    [one] my network never saw it
   *[other] my network never saw them
}.
temperature-hint = For a temperature, begin with a number and a space: /{ $voice } 0.7 …
prompt-replacement = { $plain } for { $typed }
and-more = { $items } and { $more } more
button-nearest = Write at { $temperature }
button-again = Again
button-continue = Continue
button-hotter = Hotter ({ $temperature })
button-colder = Colder ({ $temperature })
button-surprise = Surprise
# Makes the temperature of a text the user’s own.
button-keep = Always { $temperature }

## The user's temperature

temperature-own = Your temperature is { $own }. /temperature default goes back to { $default }.
temperature-none = You have no temperature of your own, so I use { $default }. Set one: /temperature 0.8
# What is offered while a user types a temperature.
suggestion = { $temperature } — { $word }
suggestion-typed = { $temperature }
suggestion-own = your own
suggestion-default = default
suggestion-careful = careful, repeats itself
suggestion-calm = calm
suggestion-balanced = balanced
suggestion-lively = lively
suggestion-wild = wild, invents words

## /surprise

surprise-mean = Your text surprises me by { NUMBER($bits, minimumFractionDigits: 2, maximumFractionDigits: 2) } bits per character.
surprise-words = Least expected: { $words }.
surprise-word = “{ $word }” ({ $bits ->
    [one] { $bits } bit
   *[other] { $bits } bits
})
surprise-written-by = { $author } wrote it; the surprise is that of { $version }, which serves now.
surprise-picture = A text of { $characters } characters, each on a ground that is the darker the less it was expected, from 0 bits (certain) to 6 (one chance in 64) and more; { NUMBER($bits, minimumFractionDigits: 2, maximumFractionDigits: 2) } on average. The first letters of words are the darkest as a rule.
surprise-scale = bits per character:
# Where a terminal has no colours.
surprise-underlined = underlined: { $bits } and more
surprise-bold = bold too: { $bits } and more

## /language

language-own = I speak { $name } with you. /language auto goes back to the language of your app.
language-group = I speak { $name } here, the language of this group. Set another one for yourself: /language português
language-automatic = I speak { $name } with you, the language of your app. Set another one: /language português
button-automatic = Automatic

## /forgetme

forget-confirm = This deletes everything I keep about you: what you have set and your last texts. It cannot be undone.
forget-repeat = To do it, type /forgetme again.
forget-nothing = I kept nothing about you.
forget-done = Gone: { $rows ->
    [one] { $rows } row
   *[other] { $rows } rows
}, everything I kept about you.
button-forget = Delete everything

## For operators

reload-added = /{ $command } is here now; { $now } serves it.
reload-done = { $now } serves now, in place of { $before }.
reload-removed = /{ $command } is gone.
reload-configured = The configuration was read too: [voices], [bot] and [access] are in force.
reload-unchanged = { $now } serves already; CURRENT names no other.
statistics =
    weights: { $version }
    texts: { $texts } written, { $refused } refused, { $failed } failed
    now: { $running } being written, { $waiting } waiting
statistics-characters = characters: { $characters }
statistics-speed = characters: { $characters }, at { NUMBER($speed, maximumFractionDigits: 0) } per second

## /cancel and /privacy

cancel-done = { $texts ->
    [one] I stopped what I was writing for you here.
   *[other] I stopped the { $texts } texts that I was writing for you here.
}
cancel-nothing = I am not writing anything for you here.
privacy-kept = I keep what I need to write for you: your last ten texts in each chat with their prompts, so that you can continue them, and what you have set, such as a temperature.
privacy-days = { $days ->
    [0] Texts stay until you delete them.
    [one] Texts are deleted after a day.
   *[other] Texts are deleted after { $days } days.
} What you have set stays until you delete it.
privacy-log = My log has no word of what you write. /forgetme deletes everything about you at once.
# Where there are quotas.
privacy-quota = I also count the texts of each day, for a daily limit: without your name or number, and only until midnight (UTC). /forgetme leaves that count.
privacy-operator = I am run by { $contact }
privacy-no-operator = Who runs me has left no address here. Ask the person who added me.

## /length and /settings

length-own = Your texts have about { $own } characters. /length default goes back to { $default }.
length-none = You have set no length, so your texts have about { $default } characters. Set one: /length 800
settings-own = Your settings
settings-group = The defaults of this group
# $source: default, where it is not set.
settings-temperature = Temperature: { $value }{ $source ->
    [default] {" "}(default)
   *[own] {""}
}
settings-length = Length: about { $value } characters{ $source ->
    [default] {" "}(default)
   *[own] {""}
}
settings-language = Language: { $value }
settings-language-automatic = that of the app
settings-voice = Voice: { $value }{ $source ->
    [default] {" "}(default)
   *[own] {""}
}
settings-access = Who may have texts written here: { $value ->
    [administrators] administrators
   *[everyone] everyone
}
settings-how = Any other value: /temperature 0.65, /length 1000, /language
button-shorter = Shorter ({ $length })
button-longer = Longer ({ $length })
button-administrators = Administrators only
button-everyone = Everyone may write
button-defaults = Back to the defaults
button-group = Defaults of this group
button-own = Your settings
