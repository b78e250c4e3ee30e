"""Latency, throughput, refusals, memory and processor time of the whole service.

The process under test is `python -m bot run`, on loopback platforms. `python -m benchmarks.service --help`.
`benchmarks.store` measures the store alone.
"""
