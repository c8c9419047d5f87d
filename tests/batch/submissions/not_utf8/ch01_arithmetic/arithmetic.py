"""Café and primes."""


def gcd(a: int, b: int) -> int:
    """Return the greatest common divisor."""
    while b:
        a, b = b, a % b
    return a


def primes_below(limit: int) -> list[int]:
    """Return the primes smaller than `limit`, in order."""
    return [number for number in range(2, limit) if is_prime(number)]


def is_prime(number: int) -> bool:
    """Return whether `number` has exactly two divisors."""
    return sum(number % divisor == 0 for divisor in range(1, number + 1)) == 2
