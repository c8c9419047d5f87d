"""The student repository: stubs made of solutions, files by allow-list, and a scan for staff text."""
