"""The files that declare agents, teams and workflows, by their suffixes."""

PYTHON = ".py"
YAML = (".yaml", ".yml")
SUFFIXES = (PYTHON, *YAML)
