"""The schema's history. Each revision says what it adds; within a minor version revisions only expand."""
