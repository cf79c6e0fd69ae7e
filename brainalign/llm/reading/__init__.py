"""How a model reads a text: tokens, windows, batches, and what comes of them: states, surprisal, loss."""
