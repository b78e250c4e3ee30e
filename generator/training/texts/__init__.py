"""From files that people have to one text to learn: containers, encodings, chat exports, stray characters, lines.

Each module reads one kind of thing; `reading` puts them together. Nothing here loads Keras or TensorFlow.
"""
