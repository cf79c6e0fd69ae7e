"""What is measured of each member of a study."""
