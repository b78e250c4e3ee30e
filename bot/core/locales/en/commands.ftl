# The commands: what each does in a few words, for menus and /help. The name of a command is the same in every language.
# .arguments: how they are shown in /help.
# .<option> and .<option>-name: what an option of Discord does, and its name: lower case, no space, at most 32 characters.
# Discord takes at most 100 characters, Telegram 256.

command-nietzsche = a text
    .arguments = [temperature] [prompt]
    .temperature = how daring: { $min } is careful, { $max } is wild
    .temperature-name = temperature
    .prompt = how the text begins
    .prompt-name = prompt
    .length = about how many characters; it ends with a sentence, below 60 with the first one
    .length-name = length
# Of each voice but the standard one. $book: its title, at most 60 characters.
command-voice = a text in the manner of { $book }
command-continue = continues your last text here
command-again = the same prompt and temperature, another draw
command-temperature = shows, sets or clears your own temperature
    .arguments = [value|default]
    .value = { $min } to { $max }, or default; leave it out to see yours
    .value-name = value
command-length = shows, sets or clears the length of your texts
    .arguments = [value|default]
    .value = 1 to { $longest } characters, or default; leave it out to see yours
    .value-name = value
command-settings = your temperature, length, language and voice; in a group, its defaults
command-ladder = the same prompt at five temperatures
    .arguments = [prompt]
    .prompt = how the text begins
    .prompt-name = prompt
command-surprise = your last text here, shaded by how little I expected each character
command-voices = whose manners I write in
command-about = what I am made of, and how good I am
    .arguments = [voice] [curve]
    .value = the name of a voice, or curve for the training curve; leave it out for all
    .value-name = voice
command-language = shows or sets the language of my replies
    .arguments = [name|auto]
    .value = a language, or auto for that of the app; leave it out to see yours
    .value-name = name
command-forgetme = deletes everything I keep about you
command-cancel = stops the text that I am writing for you here
command-privacy = what I keep about you, for how long, and who runs me
command-help = this list
command-start = a greeting
command-reload = loads the weights that CURRENT names, and reads the configuration
command-stats = what the generator is doing
help-line = { $usage } — { $purpose }
help-option = · { $name }: { $purpose }
help-example = For example: /{ $voice } 0.7 The philosopher
help-talk = Or mention me and say how a text should begin.
