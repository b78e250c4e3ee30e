"""Weights versions on disk: manifest, verification, `CURRENT`, activation; and a version loaded into onnxruntime.

What reads or writes a version folder enters here. Sampling does not.
"""
