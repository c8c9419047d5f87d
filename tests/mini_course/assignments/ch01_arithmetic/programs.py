"""Rank programs of the chapter: what runs beside the student's file."""


def sieve_many(student, limits):
    """Sieve up to each limit in one launch, which is cheaper than a launch for each."""
    return {"primes": [student.primes_below(limit) for limit in limits]}


def tally_words(student, words):
    """Tally this rank's words."""
    tally = student.Tally()
    for word in words:
        tally.add(word)
    return {"counts": tally.counts(), "total": tally.total}


def merge_tallies(student, left, right):
    """Tally two lists of words apart, merge the second tally into the first, and give both."""
    one, other = student.Tally(), student.Tally()
    for word in left:
        one.add(word)
    for word in right:
        other.add(word)
    one.merge(other)
    return {"merged": one.counts(), "other": other.counts()}
