"""A ``with`` block that ends by ``close``, sync and async alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Block:
    """What a step and an episode have in common as context managers: entering is theirs, leaving is closing."""

    __slots__ = ()

    def __enter__(self) -> Self:
        raise NotImplementedError

    def close(self, error: BaseException | None = None) -> None:
        """End what the block is about; ``error`` is what escaped from it."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)
