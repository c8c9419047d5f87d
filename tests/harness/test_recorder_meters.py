"""The memory meters measure each rank of a launch by itself."""


def test_only_the_shard_of_a_dtensor_counts(ranks):
    """On each of two ranks, a fully sharded model, its gradients and its optimizer state take half of the bytes."""
    ranks.write(
        """
        import torch
        from torch.distributed.fsdp import fully_shard
        from course_env.meters import gradient_bytes, optimizer_state_bytes, parameter_bytes
        def solve():
            model = fully_shard(torch.nn.Linear(8, 4, bias=False))
            optimizer = torch.optim.AdamW(model.parameters())
            model(torch.ones(2, 8)).sum().backward()
            optimizer.step()
            return [parameter_bytes(model), gradient_bytes(model), optimizer_state_bytes(optimizer)]
        """
    )

    assert ranks.run(2)["value"] == ([64, 64, 128], [64, 64, 128])
