"""Running a study, and reading its results: which are there, which are stale, and why."""
