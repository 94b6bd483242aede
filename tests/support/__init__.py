"""The test kit: what tests of several kinds share."""
