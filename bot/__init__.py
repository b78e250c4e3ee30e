"""The chat side of LSTMega: what people type, what they get, what is remembered. Knows no neural network."""
