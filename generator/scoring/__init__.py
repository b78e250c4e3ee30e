"""Surprisal of a text under a model, and its heat map.

What measures or draws probabilities enters here. What samples does not.
"""
