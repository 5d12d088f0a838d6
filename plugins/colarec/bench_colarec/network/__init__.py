"""The encoder-decoder: inputs, codebooks, decoding, initial values."""
