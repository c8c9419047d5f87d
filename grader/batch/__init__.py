"""From submissions to result files: intake, judging, scoring and recording, for one submission or a whole class."""
