"""The judge's end of a launch: what runs one, and what ranks leave behind."""
