"""From what a student handed in to the declared files of each chapter, whatever else it holds."""
