"""Divisors and primes."""


def gcd(a: int, b: int) -> int:
    """Return the greatest common divisor."""
    while b:
        a, b = b, a % b
    return a


def primes_below(limit: int) -> list[int]:
    """Return the primes smaller than `limit`, in order."""
    raise NotImplementedError("TODO(sieve)")


def is_prime(number: int) -> bool:
    """Return whether `number` has exactly two divisors."""
    raise NotImplementedError("TODO(sieve)")
