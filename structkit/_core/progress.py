"""Progress of long loops: a tqdm bar for people, a callback for programs."""

from __future__ import annotations

from collections.abc import Mapping

from structkit._core.types import Callback

__all__ = ["Progress"]


class Progress:
    """Report the steps of a loop and collect them.

    Parameters
    ----------
    verbose : int
        1 shows a tqdm bar with objective and remaining time; 0 shows nothing.
    callback : callable or None
        Called with each step's record; a true return value asks the loop to stop.
    """

    def __init__(self, verbose: int = 0, callback: Callback | None = None) -> None:
        self.callback = callback
        self.verbose = verbose
        self.history: list[dict[str, object]] = []
        self.stopped = False
        self._bar: object = None

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a named stage of at most `total` steps."""
        self.close()
        if self.verbose:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=name, leave=True)

    def step(self, record: Mapping[str, object]) -> bool:
        """Report one step; returns True when the callback asks to stop."""
        entry = dict(record)
        self.history.append(entry)
        if self._bar is not None:
            shown = {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in entry.items() if k != "stage"}
            self._bar.set_postfix(shown, refresh=False)  # type: ignore[attr-defined]
            self._bar.update(1)  # type: ignore[attr-defined]
        if self.callback is not None and self.callback(entry):
            self.stopped = True
        return self.stopped

    def close(self) -> None:
        """End the running stage."""
        if self._bar is not None:
            self._bar.close()  # type: ignore[attr-defined]
            self._bar = None
