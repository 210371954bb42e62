"""The config tree: every key with its default, merging of files and command lines, checks."""
