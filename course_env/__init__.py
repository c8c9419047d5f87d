"""What student code and rank programs may import, and what describes the machine they run on.

Nothing is imported here: `import course_env` must stay cheap for the command line, which never loads torch.
"""
