"""Recordings of runs: written, read, followed and reported."""
