"""Benchmarks: bounded, on loopback, and quoted only together with the command that prints them."""
