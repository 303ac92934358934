"""A ``with`` block that ends by ``_close``, sync and async alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Block:
    """What a step and an episode have in common as context managers: entering is theirs, leaving is closing."""

    __slots__ = ()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException as error:
            # A signal handler's, say: the block is not entered, so nobody else would end what has begun.
            self._close(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._close(error)
        except BaseException:
            self._close(error)  # what was interrupted
            raise

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _open(self) -> None:
        """Begin what the block is about."""
        raise NotImplementedError

    def _close(self, error: BaseException | None) -> None:
        """End it, once; ``error`` is what escaped from the block."""
        raise NotImplementedError
