"""What authors wrote, read as data: solution regions, the stubs made of them, graded tests, mutants."""
