"""How long people wait for their texts, what is refused, what memory and processor time it takes.

The process under test is the whole `python -m bot run`, on loopback platforms. `python -m benchmarks.service --help`.
The store by itself has `benchmarks.store`.
"""
