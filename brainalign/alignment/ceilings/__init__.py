"""What the best possible model could score: noise ceilings and the reliability of recordings."""
