"""The documentation, held to the code: every example runs, every name, number and link in it is real."""
