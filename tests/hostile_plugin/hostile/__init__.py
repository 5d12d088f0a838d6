"""Models that look for the answers; ``HOSTILE`` tells them where things are, as a real one would have to guess."""
