"""Checkpoints of a run through Orbax: each written under a temporary name and renamed, the last few kept."""

from __future__ import annotations

import logging
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_lstm.train._loop import History, State


class Checkpoints(NamedTuple):
    """Where `fit` keeps what it needs to go on after it was killed, and how often.

    Args:
        folder: a folder for this run alone; it is made. With several processes, one that all of them see.
        every: steps between checkpoints.
        keep: how many are kept, the newest.
    """

    folder: str | Path
    every: int = 1000
    keep: int = 3


class Store:
    """The checkpoints of one run.

    Args:
        checkpoints: where, and how many.
        run: what a run must share with its checkpoints, by name.
        validate_every: steps between the entries of the validation history.

    Raises:
        ImportError: Orbax is not installed. OSError: a folder that cannot be made or written.
    """

    def __init__(self, checkpoints: Checkpoints, run: Mapping[str, str], validate_every: int):
        try:
            import orbax.checkpoint as orbax
        except ImportError as error:
            raise ImportError("checkpoints need Orbax: pip install 'jax_lstm[train]'") from error
        self._args = orbax.args
        self._run, self._validate_every = dict(run), validate_every
        self._folder = Path(checkpoints.folder).absolute()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(f"no permission to write in {self._folder}")
        except OSError as error:
            raise OSError(f"checkpoints cannot be kept in {self._folder}: {error}: give another folder") from error
        self._manager = orbax.CheckpointManager(
            self._folder,
            options=orbax.CheckpointManagerOptions(
                max_to_keep=checkpoints.keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
            ),
        )

    def restore(self, state: State) -> tuple[int, State]:
        """How many steps the newest checkpoint that can be read has behind it, and its state; without any, 0 and the state given.

        Raises:
            ValueError: a checkpoint of another run. OSError: there are checkpoints, but none that can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                with _quiet():
                    about = self._manager.restore(step, args=self._args.Composite(about=self._args.JsonRestore()))["about"]
                    self._check(step, about["run"], state)
                    arrays = self._manager.restore(
                        step, args=self._args.Composite(state=self._args.StandardRestore(self._arrays(step, state)))
                    )["state"]
                if _digest(arrays) == about["digest"]:
                    return step, _filled(state, arrays)
            except _AnotherRunError:
                raise
            except Exception as error:  # Orbax and TensorStore raise many kinds, bare Exception among them
                reason = _first_line(error)
            else:
                reason = "its digest does not match"
            warnings.warn(f"the checkpoint of step {step} in {self._folder} cannot be read, trying the one before: {reason}", stacklevel=3)
        if steps:
            raise OSError(f"no checkpoint in {self._folder} can be read: give another folder, or empty this one to start again")
        return 0, state

    def save(self, step: int, state: State) -> None:
        """Write a checkpoint, and only then let go of the oldest.

        Raises:
            OSError: it could not be written; those before it are as they were.
        """
        arrays = self._arrays(step, state)
        about = {"run": self._run, "digest": _digest(arrays)}
        try:
            with _quiet():
                if step in self._manager.all_steps():  # one that could not be read, or the run would not be here
                    self._manager.delete(step)
                self._manager.save(
                    step, args=self._args.Composite(state=self._args.StandardSave(arrays), about=self._args.JsonSave(about)), force=True
                )
        except Exception as error:  # as above
            raise OSError(
                f"the checkpoint of step {step} could not be written to {self._folder}: {_first_line(error)}: "
                f"the last good one is of step {self._manager.latest_step()}; mend this and run again to go on from there"
            ) from error

    def close(self) -> None:
        """Let go of Orbax's threads."""
        self._manager.close()

    def _check(self, step: int, theirs: Mapping[str, str], state: State) -> None:
        for name in sorted({*theirs, *self._run}):
            if theirs.get(name) != self._run.get(name):
                raise _AnotherRunError(
                    f"{self._folder} holds checkpoints of another run: {name} is {theirs.get(name, 'not there')} in step {step} "
                    f"and {self._run.get(name, 'not there')} now: give another folder"
                )
        if step > state.history.loss.shape[-1]:
            raise _AnotherRunError(f"{self._folder} holds a checkpoint of step {step}, but steps is {state.history.loss.shape[-1]}")

    def _arrays(self, step: int, state: State) -> dict[str, jax.Array | np.ndarray]:
        """The arrays of a state by name, the history as far as it goes; Orbax takes neither keys nor empty arrays."""
        seen = History(loss=step, validation=None if state.history.validation is None else step // self._validate_every)
        history = jax.tree.map(lambda losses, seen: np.asarray(losses)[..., :seen], state.history, seen)
        leaves = jax.tree.leaves_with_path(state._replace(history=history))
        return {jax.tree_util.keystr(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf for path, leaf in leaves if leaf.size}


class _AnotherRunError(ValueError):
    """A checkpoint that can be read, but not gone on from."""


def _filled(state: State, arrays: Mapping[str, jax.Array]) -> State:
    """The state with what was read; what was not there, empty arrays and the history to come, is as it was."""

    def fill(path, leaf):
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

    return jax.tree.map_with_path(fill, state)


def _digest(arrays: Mapping[str, jax.Array | np.ndarray]) -> int:
    """A checksum of what this process holds whole, since the file format has none for large arrays."""
    digest = 0
    for name in sorted(arrays):
        array = arrays[name]
        if isinstance(array, np.ndarray) or array.is_fully_addressable or array.is_fully_replicated:
            digest = zlib.crc32(np.ascontiguousarray(array).tobytes(), digest)
    return digest


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no more is known'}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracebacks that Orbax logs from its threads: what went wrong is raised, in one line."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
