"""Reads flagfiles, recipes and paths of the command line."""
