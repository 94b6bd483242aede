"""Knowledge bases: contents that are read, split and embedded by durable jobs, and searched."""
