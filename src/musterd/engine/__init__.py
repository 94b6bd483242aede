"""The engine: turns accepted runs into attempts, and attempts into ends."""
