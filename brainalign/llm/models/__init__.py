"""Language models: where their files are, their networks, what they are loaded from."""
