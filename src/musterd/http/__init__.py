"""HTTP: parse a request, call a use case, answer. The wire's names and shapes are :mod:`musterd.wire`'s."""
