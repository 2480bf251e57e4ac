"""Checkpoints of a run by Orbax: each is written under a temporary name and renamed, and the last few are kept."""

from __future__ import annotations

import logging
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.train._lock import locked
from jax_lstm.train._types import Checkpoints, History, State


class Store:
    """The checkpoints of one run.

    Args:
        checkpoints: where, and how many.
        run: what a run must share with its checkpoints, by name.
        validate_every: steps between the entries of the validation history.

    Raises:
        ImportError: Orbax is not installed. OSError: a folder that cannot be created or written. ValueError: a folder
            that another run uses.
    """

    def __init__(self, checkpoints: Checkpoints, run: Mapping[str, str], validate_every: int):
        try:
            import orbax.checkpoint as orbax
        except ImportError as error:
            raise ImportError(
                "checkpoints need Orbax: pip install orbax-checkpoint, or in a clone pip install '.[train]'"
            ) from error
        self._args = orbax.args
        self.every = checkpoints.every
        self._run, self._validate_every = dict(run), validate_every
        self._folder = Path(checkpoints.folder).absolute()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(f"no permission to write in {self._folder}")
        except OSError as error:
            raise OSError(f"checkpoints cannot be kept in {self._folder}: {error}: give another folder") from error
        with ExitStack() as resources:
            if jax.process_index() == 0:  # the processes of one run share its folder
                resources.enter_context(locked(self._folder))
            self._manager = orbax.CheckpointManager(
                self._folder,
                options=orbax.CheckpointManagerOptions(
                    max_to_keep=checkpoints.keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
                ),
            )
            resources.callback(self._manager.close)
            self._resources = resources.pop_all()

    def restore(self, state: State) -> tuple[int, State]:
        """The step and the state of the newest checkpoint that can be read; without any, 0 and the state given.

        Raises:
            ValueError: a checkpoint of another run. OSError: there are checkpoints, but none that can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                return step, self._read(step, state)
            except _AnotherRunError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many kinds, bare Exception among them
                reason = _first_line(error)
            warnings.warn(
                f"the checkpoint of step {step} in {self._folder} cannot be read, trying the one before: {reason}",
                stacklevel=3,
            )
        if steps:
            raise OSError(
                f"no checkpoint in {self._folder} can be read: give another folder, or empty this one to start again"
            )
        return 0, state

    def _read(self, step: int, state: State) -> State:
        with _quiet():
            about = self._manager.restore(step, args=self._args.Composite(about=self._args.JsonRestore()))["about"]
            self._check(step, about["run"], state)
            arrays = self._manager.restore(
                step, args=self._args.Composite(state=self._args.StandardRestore(self._arrays(step, state)))
            )["state"]
        if _digest(arrays) != about["digest"]:
            raise ValueError("its digest does not match")
        return _filled(state, arrays)

    def save(self, step: int, state: State) -> None:
        """Write a checkpoint, and only then remove the oldest.

        Raises:
            OSError: it could not be written; those before it are intact.
        """
        arrays = self._arrays(step, state)
        about = {"run": self._run, "digest": _digest(arrays)}
        try:
            with _quiet():
                if step in self._manager.all_steps():  # one that could not be read, or the run would not be here
                    self._manager.delete(step)
                self._manager.save(
                    step,
                    args=self._args.Composite(state=self._args.StandardSave(arrays), about=self._args.JsonSave(about)),
                    force=True,
                )
        except Exception as error:  # as above
            raise OSError(
                f"the checkpoint of step {step} could not be written to {self._folder}: {_first_line(error)}: the last "
                f"good one is of step {self._manager.latest_step()}; fix this and run again to resume from there"
            ) from error

    def close(self) -> None:
        """Stop Orbax's threads, and release the folder."""
        self._resources.close()

    def _check(self, step: int, theirs: Mapping[str, str], state: State) -> None:
        for name in sorted({*theirs, *self._run}):
            then, now = (run.get(name, "not there") for run in (theirs, self._run))
            if then != now:
                raise _AnotherRunError(
                    f"{self._folder} holds checkpoints of another run: {name} is {then} in step {step} and {now} now: "
                    "give another folder"
                )
        if step > state.history.loss.shape[-1]:
            raise _AnotherRunError(
                f"{self._folder} holds a checkpoint of step {step}, but steps is {state.history.loss.shape[-1]}"
            )

    def _arrays(self, step: int, state: State) -> dict[str, jax.Array | np.ndarray]:
        """The arrays of a state by name, the history up to the step; Orbax takes neither keys nor empty arrays."""

        def cut(losses: Any, length: int) -> Any:
            return None if losses is None else np.asarray(losses)[..., :length]

        history = History(cut(state.history.loss, step), cut(state.history.validation, step // self._validate_every))
        leaves = jax.tree.leaves_with_path(state._replace(history=history))
        return {
            jax.tree_util.keystr(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf
            for path, leaf in leaves
            if leaf.size
        }


class _AnotherRunError(ValueError):
    """A checkpoint that can be read, but belongs to another run."""


def _filled(state: State, arrays: Mapping[str, jax.Array]) -> State:
    """The state with the arrays that were read; the others, empty ones and the rest of the history, stay."""

    def fill(path: Any, leaf: Any) -> Any:
        array = arrays.get(jax.tree_util.keystr(path))
        if array is None:
            return leaf
        if _is_key(leaf):
            return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf))
        if isinstance(array, jax.Array):
            return array
        whole = np.array(leaf)
        whole[..., : array.shape[-1]] = array
        return jax.make_array_from_callback(whole.shape, leaf.sharding, whole.__getitem__)

    filled: State = jax.tree.map_with_path(fill, state)
    return filled


def _digest(arrays: Mapping[str, jax.Array | np.ndarray]) -> int:
    """A checksum of the arrays that this process holds entirely, since the file format has none for large arrays."""
    digest = 0
    for name in sorted(arrays):
        array = arrays[name]
        if isinstance(array, np.ndarray) or array.is_fully_addressable or array.is_fully_replicated:
            digest = zlib.crc32(np.ascontiguousarray(array).tobytes(), digest)
    return digest


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no more is known'}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracebacks that Orbax logs from its threads: errors are raised, in one line."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
