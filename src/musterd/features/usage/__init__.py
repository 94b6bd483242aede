"""Daily usage: what ran each day, for how many users, with how many tokens."""
