"""The `course` command, for those who learn: a module for each of its commands."""
