"""The use cases: what HTTP, the command line and tests call. Nothing here knows a protocol."""
