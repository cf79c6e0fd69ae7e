"""Benchmarks, and a model's answers to them."""
