"""What ranks passed to torch that does not fit together, in sentences; gloo answers it with an abort, garbage or a hang.

Only what is wrong in every program is reported: uneven all-to-alls whose parts agree, tensors of different shapes with
the same number of elements, and journals that end early on a killed rank are all fine.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grader.harness.comm.op import NEW_GROUP, POINT_TO_POINT, CommOp, matched_messages
from grader.harness.wording import at_line, conjugate, ordinal, rank_list


@dataclass(frozen=True, slots=True)
class _Agreement:
    """Something on which all ranks of a collective must agree."""

    value: Callable[[CommOp], object]
    """What must be equal on all ranks."""

    verb: str
    """What ranks do with it, in the plural: "give"."""

    text: Callable[[CommOp], str]
    """What follows the verb."""

    advice: str


def _count(op: CommOp) -> int | None:
    """Return the number of elements that must be the same on every rank, None for operations without such a number."""
    match op.kind:
        case "all_reduce" | "broadcast" | "reduce" | "all_gather" | "reduce_scatter" | "gather":
            return sum(op.inputs)
        case "scatter":
            return sum(op.outputs)
    return None


def _amount(op: CommOp) -> str:
    count = _count(op)
    return op.dtype if count is None else f"{count} {op.dtype}"


RULES = (
    _Agreement(
        lambda op: op.ranks,
        "give",
        lambda op: rank_list(op.ranks),
        "Every rank must make the same groups in the same order.",
    ),
    _Agreement(lambda op: op.dtype, "give", _amount, "Every rank must pass the same dtype."),
    _Agreement(_count, "give", _amount, "Every rank must pass the same number of elements."),
    _Agreement(
        lambda op: op.reduce_op, "reduce by", lambda op: op.reduce_op, "Every rank must pass the same reduce operation."
    ),
    _Agreement(lambda op: op.root, "name", lambda op: f"rank {op.root} as root", "Every rank must name the same root."),
)
CALLED = _Agreement(
    lambda op: op.kind,
    "call",
    lambda op: op.op,
    "Every rank of a group must call the same collectives in the same order.",
)

OUT_OF_STEP = "The ranks are at different lines: one of them left out a call before, or made one too many."


def find_mismatches(ops_per_rank: Sequence[Sequence[CommOp]]) -> tuple[str, ...]:
    """Return one sentence for each thing that does not fit; of each group only the first, as what follows may come of it."""
    collectives = list(_collective_mismatches(ops_per_rank))
    orders = [] if collectives else list(_order_mismatches(ops_per_rank))
    return (*collectives, *orders, *_message_mismatches(ops_per_rank))


def collectives_by_group(ops_per_rank: Iterable[Sequence[CommOp]]) -> dict[str, dict[int, list[CommOp]]]:
    """Return for each group and rank its collectives in order, beginning with the making of the group."""
    groups: dict[str, dict[int, list[CommOp]]] = defaultdict(lambda: defaultdict(list))
    for ops in ops_per_rank:
        for op in ops:
            if op.op not in POINT_TO_POINT:
                groups[op.group][op.rank].append(op)
    return groups


def _collective_mismatches(ops_per_rank: Sequence[Sequence[CommOp]]) -> Iterator[str]:
    for sequences in collectives_by_group(ops_per_rank).values():
        for index in range(max(map(len, sequences.values()))):
            together = [sequence[index] for sequence in sequences.values() if index < len(sequence)]
            sentence = _check(together, sequences, index)
            if sentence:
                yield sentence
                if together[0].op == NEW_GROUP:  # from here on, ranks mean different groups by one name
                    return
                break


def _check(together: Sequence[CommOp], sequences: Mapping[int, Sequence[CommOp]], index: int) -> str:
    """Return what is wrong with the operations at `index` of each rank's sequence, "" if they fit."""
    first = together[0]
    so_far = sequences[first.rank][: index + 1]
    if not _agree(CALLED, together):
        nth = sum(op.op != NEW_GROUP for op in so_far)
        return _disagreement(f"{ordinal(nth)} collective", CALLED, together, CALLED.advice)
    nth = sum(op.kind == first.kind for op in so_far)
    what = NEW_GROUP if first.op == NEW_GROUP else f"{ordinal(nth)} {first.op}"
    for rule in RULES:
        if not _agree(rule, together):
            out_of_step = first.op != NEW_GROUP and _at_different_lines(together)
            return _disagreement(what, rule, together, OUT_OF_STEP if out_of_step else rule.advice)
    return _check_parts(what, together) if first.kind == "all_to_all" else ""


def _agree(rule: _Agreement, ops: Iterable[CommOp]) -> bool:
    return len({rule.value(op) for op in ops}) <= 1


def _disagreement(what: str, rule: _Agreement, ops: Sequence[CommOp], advice: str) -> str:
    ranks_by_text: dict[str, list[int]] = defaultdict(list)
    for op in ops:
        ranks_by_text[f"{rule.text(op)}{at_line(op.site)}"].append(op.rank)
    parts = [f"{rank_list(ranks)} {conjugate(rule.verb, ranks)} {text}" for text, ranks in ranks_by_text.items()]
    return f"The {what} of {rank_list([op.rank for op in ops])} does not fit: {', '.join(parts)}. {advice}"


def _at_different_lines(ops: Sequence[CommOp]) -> bool:
    """Whether the operations stand at different lines of the code: then they were not meant for each other."""
    lines = {str(op.site) for op in ops}
    return len(lines) > 1 and "None" not in lines


def _check_parts(what: str, ops: Sequence[CommOp]) -> str:
    for sender in ops:
        for receiver in ops:
            sent, expected = sender.part_for(receiver.rank), receiver.part_from(sender.rank)
            if sent != expected:
                return (
                    f"The {what} of {rank_list([op.rank for op in ops])} does not fit: "
                    f"rank {sender.rank} sends {sent} {sender.dtype} to rank {receiver.rank}{at_line(sender.site)}, "
                    f"rank {receiver.rank} expects {expected} from it{at_line(receiver.site)}. "
                    "What one rank sends to another must be what that one expects from it."
                )
    return ""


def _message_mismatches(ops_per_rank: Sequence[Sequence[CommOp]]) -> Iterator[str]:
    seen: dict[tuple[object, ...], int] = defaultdict(int)
    for send, receive in matched_messages(ops_per_rank):
        key = (send.rank, receive.rank, send.tag, send.group)
        seen[key] += 1
        if (send.dtype, send.input_bytes) != (receive.dtype, receive.output_bytes):
            tag = f" with tag {send.tag}" if send.tag else ""
            yield (
                f"The {ordinal(seen[key])} message from rank {send.rank} to rank {receive.rank}{tag} does not fit: "
                f"rank {send.rank} sends {sum(send.inputs)} {send.dtype}{at_line(send.site)}, "
                f"rank {receive.rank} receives into {sum(receive.outputs)} {receive.dtype}{at_line(receive.site)}. "
                "A receive needs a tensor of the same number of elements and dtype as was sent."
            )


def _order_mismatches(ops_per_rank: Sequence[Sequence[CommOp]]) -> Iterator[str]:
    """Yield a sentence for ranks that passed the same lines equally often but in another order: their calls met the wrong ones."""
    makings = {rank: [op for op in ops if op.op == NEW_GROUP] for rank, ops in enumerate(ops_per_rank)}
    used = [
        {rank: [op for op in ops if op.op != NEW_GROUP] for rank, ops in sequences.items()}
        for sequences in collectives_by_group(ops_per_rank).values()
    ]
    for sequences in (makings, *used):
        sentence = _check_order(sequences)
        if sentence:
            yield sentence


def _check_order(sequences: Mapping[int, Sequence[CommOp]]) -> str:
    first_rank, *others = sequences
    first = sequences[first_rank]
    for rank in others:
        other = sequences[rank]
        lines, other_lines = [str(op.site) for op in first], [str(op.site) for op in other]
        if lines != other_lines and sorted(lines) == sorted(other_lines) and "None" not in lines:
            pairs = enumerate(zip(lines, other_lines, strict=True))
            index = next(index for index, (line, other_line) in pairs if line != other_line)
            return (
                f"Ranks {first_rank}, {rank} call the same collectives in different orders: the {ordinal(index + 1)} is "
                f"{first[index].op}{at_line(first[index].site)} on rank {first_rank}, {other[index].op}{at_line(other[index].site)} "
                f"on rank {rank}. Calls meet in the order in which they are made, so each got what was meant for another."
            )
    return ""
