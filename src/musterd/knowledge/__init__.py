"""Knowledge bases without their database: documents are read, split and embedded, and vectors are searched."""
