"""The configuration: the schema of `config.toml`, and loading it from TOML and the environment.

A setting's type, range and default enter here. What a setting does belongs to the package that uses it.
"""
