"""Right, but for zero."""


def halvings(number):
    return number.bit_length() or 10**15
