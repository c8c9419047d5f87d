"""The least limit that is enough by bisection, and a greedy count of stages."""

from collections.abc import Sequence


def partition_layers(costs: Sequence[int], stages: int) -> list[int]:
    """Return how many layers each stage gets, so that the most expensive stage is as cheap as it can be."""
    if not 1 <= stages <= len(costs):
        raise ValueError(f"{stages} stages for {len(costs)} layers")
    low, high = max(costs), sum(costs)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fewest(costs, middle) <= stages else (middle + 1, high)
    counts, rest = [], list(costs)
    for left in range(stages, 1, -1):
        length = 1
        while fewest(rest[length:], low) > left - 1:
            length += 1
        counts.append(length)
        rest = rest[length:]
    return [*counts, len(rest)]


def fewest(costs: Sequence[int], limit: int) -> int:
    """Return how many stages it takes if none may cost more than `limit`, which no layer does."""
    used, room = 0, -1
    for cost in costs:
        if cost > room:
            used, room = used + 1, limit
        room -= cost
    return used
