"""The places of a batch, which puzzles that are done leave to waiting ones."""

import numpy as np

_SHRINK = 4  # the next smaller batch has this many times fewer places


class Places:
    """The places of a batch and the puzzles that wait for one.

    Attributes:
      indices: index of the puzzle in each place, int `[places]`; -1 marks an idle place, so writing
        -1 ends a puzzle.
    """

    def __init__(self, num_puzzles: int):
        """Begins without any place; all puzzles wait."""
        self.indices = np.zeros(0, np.int32)
        self._num_puzzles, self._next = num_puzzles, 0

    @property
    def num_left(self) -> int:
        """The number of puzzles that are waiting or in the batch."""
        return int((self.indices >= 0).sum()) + self._num_puzzles - self._next

    def refill(self, most: int, num_devices: int) -> tuple[np.ndarray, np.ndarray]:
        """Shrinks the batch if few puzzles are left, and gives idle places to waiting puzzles.

        There are only a few sizes, so that only a few programs are compiled.

        Args:
          most: largest number of places.
          num_devices: divisor of the number of places.

        Returns:
          `(earlier, begun)`: the earlier place of each place, with -1 if it had none, and the
          places that begin a puzzle.
        """
        size = self._size_for(most, num_devices)
        earlier = np.arange(len(self.indices))
        if size != len(earlier):
            busy = np.flatnonzero(self.indices >= 0)
            earlier = np.pad(busy, (0, size - len(busy)), constant_values=-1)
            self.indices = take(self.indices, earlier)
            self.indices[earlier < 0] = -1
        begun = np.flatnonzero(self.indices < 0)[: self._num_puzzles - self._next]
        self.indices[begun] = self._next + np.arange(len(begun))
        self._next += len(begun)
        return earlier, begun

    def _size_for(self, most: int, num_devices: int) -> int:
        """Returns the smallest size that holds all puzzles that are left, or else the largest."""
        size, num_left = most, self.num_left
        while size >= _SHRINK and num_left <= size // _SHRINK:
            size //= _SHRINK
        return -(-size // num_devices) * num_devices


def take(column: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Takes rows of a column, `[places, ...]`; place -1 gives a row of zeros."""
    taken = np.zeros((len(places), *column.shape[1:]), column.dtype)
    taken[places >= 0] = column[places[places >= 0]]
    return taken
