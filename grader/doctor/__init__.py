"""What a machine offers the course, and what the lack of each thing costs."""
