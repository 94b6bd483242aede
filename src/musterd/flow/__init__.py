"""Running a workflow: one recursive walk over the declared tree, which drives the loops of its agents and teams."""
