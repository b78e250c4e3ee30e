"""The heat map of a text's surprisal.

What draws probabilities enters here. What computes them or samples does not.
"""
