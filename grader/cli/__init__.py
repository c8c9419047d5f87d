"""The two commands: `course` for those who learn, `grade` for those who teach."""
