def sum_over_ranks(student, **_):
    return {}
