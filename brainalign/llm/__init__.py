"""What language models do with the text that people read."""
