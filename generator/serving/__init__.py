"""Text from a loaded model: worker threads, continuous batching, sampling, saved state, sentence ends.

What happens between a request and its text enters here. No file is read or written.
"""
