"""Meters of memory for one rank: what parameters, gradients, optimizer states and activations keep alive.

All of them count whole storages, each once: a view keeps all of its base alive, tied weights are held once, and a storage
resized to nothing costs nothing. Of a DTensor only the shard on this rank counts; tensors on the meta device hold nothing.
"""

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode


def parameter_bytes(module: nn.Module) -> int:
    """Return the bytes that this rank holds of a module's parameters."""
    return storage_bytes(module.parameters())


def gradient_bytes(module: nn.Module) -> int:
    """Return the bytes that this rank holds of the gradients of a module's parameters."""
    return storage_bytes(parameter.grad for parameter in module.parameters() if parameter.grad is not None)


def optimizer_state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes that this rank holds of an optimizer's state.

    Tensors of no dimension, such as Adam's count of steps, are left out: they do not grow with the model.
    """
    return storage_bytes(tensor for tensor in _tensors_in(optimizer.state) if tensor.dim() > 0)


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the distinct storages that these tensors keep alive on this rank."""
    local = [_local(tensor) for tensor in tensors]
    # The tensors in `local` are alive, so no two of their storages share an address.
    return sum({_key(tensor): _storage_bytes(tensor) for tensor in local}.values())


def _local(tensor: Tensor) -> Tensor:
    """Return the shard of a DTensor, other tensors as they are. Looks for the method, as importing DTensor takes a second."""
    plain = tensor.detach()
    return plain.to_local() if hasattr(plain, "to_local") else plain


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - what torch itself uses as a storage's identity


def _storage_bytes(tensor: Tensor) -> int:
    return 0 if tensor.is_meta else tensor.untyped_storage().nbytes()


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors_in(item)


class SavedForBackward:
    """Counts what autograd saves for backward inside a `with` block.

        with SavedForBackward(exclude=model.parameters()) as saved:
            loss = model(x).sum()
        assert saved.num_bytes == ...

    exclude: tensors that exist anyway; tensors that share their storage are not counted
    num_bytes, num_storages: what was saved, each storage once, even if it was freed again

    Inside the block torch does not notice that a saved tensor was changed in place before backward.
    """

    def __init__(self, exclude: Iterable[Tensor] = ()) -> None:
        self._excluded = _StorageSet(exclude)
        self._saved = _StorageSet()
        self._hooks = saved_tensors_hooks(self._pack, _unchanged)
        self.num_bytes = 0

    @property
    def num_storages(self) -> int:
        """The number of distinct storages that were saved."""
        return len(self._saved)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, traceback)

    def _pack(self, tensor: Tensor) -> Tensor:
        local = _local(tensor)
        if local not in self._excluded and self._saved.add(local):
            self.num_bytes += _storage_bytes(local)
        return tensor.detach()  # a saved result with its graph would keep that graph alive for ever


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


class _StorageSet:
    """A set of storages. Its weak references keep none alive, and no new storage is mistaken for one that was freed."""

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        self._references: dict[int, StorageWeakRef] = {}
        for tensor in tensors:
            self.add(_local(tensor))

    def __len__(self) -> int:
        return len(self._references)

    def __contains__(self, tensor: Tensor) -> bool:
        return _key(tensor) in self._references

    def add(self, tensor: Tensor) -> bool:
        """Add a tensor's storage; return whether it is new."""
        if tensor in self:
            return False
        # A weak reference reserves the address, not the memory.
        self._references[_key(tensor)] = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        return True


class LiveActivations:
    """Counts the activations that are held for backward between a module's forward passes and their backward passes.

        with LiveActivations(stage) as live:
            run_schedule(stage, micro_batches)
        assert live.peak_passes == 4

    An activation is a storage that autograd saved inside `module.forward`. That includes the module's input, but not its
    parameters and buffers. Autograd holds it until backward has used it or the graph is dropped. A forward pass is held as
    long as one of its activations is, so in a pipeline stage the number of passes held is that of the micro-batches in flight.

    passes, num_bytes: what is held now
    peak_passes, peak_bytes: the most that was held at one time

    This meter does not see what `torch.utils.checkpoint` with use_reentrant=False keeps. As with SavedForBackward, torch does
    not notice changes in place.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._handles: list[Any] = []
        self._excluded = _StorageSet()
        self._uses: dict[int, int] = {}
        self._open: list[saved_tensors_hooks] = []
        self.passes = self.peak_passes = 0
        self.num_bytes = self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._excluded = _StorageSet((*self._module.parameters(), *self._module.buffers()))
        self._handles = [
            self._module.register_forward_pre_hook(self._begin, prepend=True),
            self._module.register_forward_hook(self._end, always_call=True),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _begin(self, _module: nn.Module, _args: object) -> None:
        forward_pass = _Pass(self)
        hooks = saved_tensors_hooks(forward_pass.pack, _Activation.unpack)
        hooks.__enter__()
        self._open.append(hooks)

    def _end(self, _module: nn.Module, _args: object, _output: object) -> None:
        self._open.pop().__exit__(None, None, None)

    def hold(self, tensor: Tensor) -> int | None:
        """Count one more use of a tensor's storage; return the storage's key, None if it is excluded."""
        local = _local(tensor)
        if local in self._excluded:
            return None
        key = _key(local)
        uses = self._uses.get(key, 0)
        self._uses[key] = uses + 1
        if uses == 0:
            self.num_bytes += _storage_bytes(local)
            self.peak_bytes = max(self.peak_bytes, self.num_bytes)
        return key

    def release(self, key: int, num_bytes: int) -> None:
        """Count one use of a storage less."""
        self._uses[key] -= 1
        if self._uses[key] == 0:
            del self._uses[key]
            self.num_bytes -= num_bytes

    def count_pass(self, change: int) -> None:
        """Change the number of forward passes held by +1 or -1."""
        self.passes += change
        self.peak_passes = max(self.peak_passes, self.passes)


class _Pass:
    """One forward pass, held as long as one of its activations is."""

    def __init__(self, meter: LiveActivations) -> None:
        self._meter = meter
        self._num_held = 0

    def pack(self, tensor: Tensor) -> "_Activation":
        key = self._meter.hold(tensor)
        activation = _Activation(tensor)
        if key is not None:
            self._num_held += 1
            if self._num_held == 1:
                self._meter.count_pass(+1)
            weakref.finalize(activation, self._release, key, _storage_bytes(_local(tensor)))
        return activation

    def _release(self, key: int, num_bytes: int) -> None:
        self._meter.release(key, num_bytes)
        self._num_held -= 1
        if self._num_held == 0:
            self._meter.count_pass(-1)


class _Activation:
    """What autograd keeps instead of a tensor, so that the meter notices when it is dropped."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor.detach()  # as in SavedForBackward

    def unpack(self) -> Tensor:
        return self._tensor


class LargestTemporary(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Finds the largest tensor that is created inside a `with` block.

        with LargestTemporary(ignore_shapes=[q.shape]) as largest:
            flash_attention(q, k, v)
        assert largest.num_elements <= block_q * block_k

    ignore_shapes: shapes that may be created, such as that of the result
    num_elements, num_bytes, shape, op: of the largest, by elements; `op` is the operator that created it
    """

    def __init__(self, ignore_shapes: Iterable[Sequence[int]] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ignored = {tuple(shape) for shape in ignore_shapes}
        self.num_elements = 0
        self.num_bytes = 0
        self.shape: tuple[int, ...] = ()
        self.op = ""

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator and look at what it returns."""
        del types
        returned = func(*args, **(kwargs or {}))
        given = {_key(tensor) for tensor in (*_tensors_in(args), *_tensors_in(kwargs))}
        for tensor in _tensors_in(returned):
            # Views and results of in-place operators are in a storage that existed before.
            if (
                _key(tensor) not in given
                and tensor.numel() > self.num_elements
                and tuple(tensor.shape) not in self._ignored
            ):
                self.num_elements, self.num_bytes = tensor.numel(), _storage_bytes(tensor)
                self.shape, self.op = tuple(tensor.shape), str(func)
        return returned
