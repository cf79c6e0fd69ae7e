"""What a study is: its settings, who is in it, and what those are loaded from."""
