"""A progress bar on stderr for people; imported only when one is shown."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress

from together_operator.archive.progress import Snapshot


class Bar:
    """A progress bar; it disappears when the run is over."""

    def __init__(self) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("Listing", total=None)
        self._bar.start()

    def show(self, snapshot: Snapshot) -> None:
        self._bar.update(
            self._task,
            description=snapshot.stage,
            completed=snapshot.done_bytes,
            total=snapshot.total_bytes or None,
        )

    def close(self) -> None:
        self._bar.stop()
