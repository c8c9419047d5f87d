"""The `grade` command, for those who make the course and grade it: a module for each of its commands."""
