"""The engine: it claims accepted runs, drives each in attempts, and stores what they do until they finish or pause."""
