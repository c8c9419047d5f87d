"""The judge's process, seen from outside: how it is started and ended, and the report that it writes."""
