"""The command line. Each command has a file of its own, `<name>_command.py`, which is imported when it is called."""
