"""How results reach the book: live numbers, assets, notebooks, the Sphinx extension, provenance."""
