"""One module a section of the book: from results to its tables, its numbers and its words.

A notebook calls these, shows what they return, and draws it; the page holds the prose and the captions.
"""
