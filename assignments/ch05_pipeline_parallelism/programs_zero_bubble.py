"""What runs on one rank in the tests of zero_bubble.py."""


def backward_in_two_parts(student, *, layers):
    """Compute both gradients of each layer, of gy, w and x, twice with the same tensors: writing to one shows the second time."""
    weights = [student.linear_backward_weight(gy, x) for gy, _, x in layers]
    inputs = [student.linear_backward_input(gy, w) for gy, w, _ in layers]
    weights_again = [student.linear_backward_weight(gy, x) for gy, _, x in layers]
    return {"inputs": inputs, "weights": weights, "weights_again": weights_again, "given": layers}
