"""Use cases that HTTP, the command line and tests call. This package does not know any protocol."""
