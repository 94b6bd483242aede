"""Authentication and authorization. A request is authenticated once, before any of its body is read."""
