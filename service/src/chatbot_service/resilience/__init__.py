"""What keeps a failing neighbour from becoming our own failure: pure rules, with clock and randomness injected."""
