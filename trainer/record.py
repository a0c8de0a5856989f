"""What a run writes into its folder while it trains: its commits, and the views behind them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer import checkpoint, console
from trainer.commits import Commits
from trainer.console import log
from trainer.logs import Views
from trainer.run import Run


class Record:
    """Commits and views of a run; nothing is shown that could not be resumed from.

    Args:
        run: The run.
        folder: Its folder.
    """

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.folder = folder
        self.views = Views(
            folder,
            [group["name"] for group in run.optimizer.param_groups],
            steps_per_epoch=run.steps_per_epoch,
            every_steps=run.config.log.every_steps,
        )
        self.commits = Commits(run.device)

    def start(self, *, changed: bool) -> None:
        """Makes folder and run agree.

        A new run commits here, and can be resumed from then; so does one that was changed.
        """
        run = self.run
        if changed or not checkpoint.commits(self.folder):
            self.commits.begin(run.state_dict(), self._write(best=False), lambda: None)
            self.commits.wait()
        # what a kill behind the last commit left
        checkpoint.rotate(self.folder, run.progress.step, run.config.checkpoint.keep_last)
        self.views.rebuild(run.history)

    def begin(self, *, best: bool, line: str | None = None) -> None:
        """Commits the state as it is now; the views, and a line, follow once it is durable.

        Raises:
            OSError: If the commit before this one could not be written; this one's errors come
                when it is waited for.
        """
        history = self.run.history.so_far()

        def published() -> None:
            self.views.append(history)
            if line is not None:
                log.info(line)

        self.commits.begin(self.run.state_dict(), self._write(best=best), published)

    def poll(self) -> None:
        """Publishes a commit that has become durable; raises OSError if it could not be written."""
        self.commits.poll()

    def wait(self) -> None:
        """Waits until nothing is under way; raises OSError if it could not be written."""
        self.commits.wait()

    def last_good(self) -> str:
        """Which commit there is to go back to, in words."""
        self.commits.wait()
        return _newest(self.folder)

    def finish(self) -> None:
        """Makes the views durable and complete; raises OSError if one still cannot be written."""
        self.views.finish(self.run.history)

    def close(self) -> None:
        """Ends what is under way, whatever else went wrong."""
        try:
            self.commits.wait()
        except OSError as error:
            log.warning("warning: %s", console.one_line(error))
        self.commits.close()
        self.views.close()

    def _write(self, *, best: bool) -> Callable[[dict[str, Any]], None]:
        """What writes the state of now; its OSError says what is there to go on from."""
        folder, step = self.folder, self.run.progress.step
        keep_last = self.run.config.checkpoint.keep_last

        def write(state: dict[str, Any]) -> None:
            try:
                checkpoint.save(folder, state, step, keep_last=keep_last, best=best)
            except OSError as error:
                way_out = f"{console.one_line(error)}; {_newest(folder)}"
                if checkpoint.commits(folder):
                    way_out += f"; resume={folder} goes on from there"
                raise OSError(error.errno, way_out) from error

        return write


def _newest(folder: Path) -> str:
    found = checkpoint.commits(folder)
    return f"the last good checkpoint is {found[0]}" if found else "there is no checkpoint yet"
