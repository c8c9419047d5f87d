"""Divisors and primes, the way of the Elements: by subtraction, and by trial division."""


def gcd(a: int, b: int) -> int:
    """Return the greatest common divisor by taking the smaller from the larger."""
    if a == b == 0:
        raise ValueError("0 and 0 have no greatest common divisor.")
    if 0 in {a, b}:
        return a + b
    while a != b:
        # As many subtractions at once as leave the larger number positive.
        a, b = (a - (a - 1) // b * b, b) if a > b else (a, b - (b - 1) // a * a)
    return a


def primes_below(limit: int) -> list[int]:
    """Return the primes smaller than `limit`, each tried alone."""
    return [number for number in range(limit) if is_prime(number)]


def is_prime(number: int) -> bool:
    """Return whether no smaller number but 1 divides `number`."""
    return number > 1 and all(number % divisor for divisor in range(2, number))
