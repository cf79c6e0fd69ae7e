"""What a study takes: memory, downloads, time."""
