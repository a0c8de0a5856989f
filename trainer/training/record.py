"""What a run writes into its folder while it trains: its checkpoints, and the logs behind them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.cli import console
from trainer.cli.console import log
from trainer.cli.words import count
from trainer.config.metrics import Task
from trainer.storage import checkpoint, run_folder
from trainer.storage.run_folder import resume_command
from trainer.training import summary
from trainer.training.checkpoint_thread import CheckpointThread
from trainer.training.logs import Logs
from trainer.training.run import Run


class Record:
    """Checkpoints and logs of a run; nothing is shown that could not be resumed from.

    Args:
        run: The run.
        folder: Its folder.
        command: The command line, for `summary.json`.
    """

    def __init__(self, run: Run, folder: Path, command: Sequence[str] = ()) -> None:
        self.run = run
        self.folder = folder
        self.command = command
        self.logs = Logs(
            folder,
            [group["name"] for group in run.optimizer.param_groups],
            steps_per_epoch=run.steps_per_epoch,
            every_steps=run.config.log.every_steps,
        )
        self.thread = CheckpointThread(run.device)

    def start(self, *, changed: bool) -> None:
        """Makes folder and run agree.

        A new run saves its first checkpoint here; so does one that was changed.
        """
        run = self.run
        if run.peers.largest(changed or not run_folder.checkpoints(self.folder)):
            self.thread.begin(run.state_dict(), self._write(best=False), lambda: None)
            self.thread.wait()
        # what a kill behind the last checkpoint left
        checkpoint.rotate(self.folder, run.progress.step, run.config.checkpoint.keep_last)
        self.logs.rebuild(run.history)
        summary.write_config(self.folder, run.config)
        self._summarise("running")

    def begin(self, *, best: bool, line: str | None = None) -> None:
        """Saves the state as it is now; the logs, and a line, follow once it is durable.

        Raises:
            OSError: If the checkpoint before this one could not be written; this one's errors come
                when it is waited for.
        """
        history = self.run.history.so_far()

        def published() -> None:
            self.logs.append(history)
            if line is not None:
                log.info(line)

        self.thread.begin(self.run.state_dict(), self._write(best=best), published)

    def poll(self) -> None:
        """Publishes a checkpoint that is durable; raises OSError if it could not be written."""
        self.thread.poll()

    def wait(self) -> None:
        """Waits until nothing is under way; raises OSError if it could not be written."""
        self.thread.wait()

    def last_good(self) -> str:
        """Which checkpoint there is to go back to, in words."""
        self.thread.wait()
        return _newest(self.folder)

    def finish(self, **results: Any) -> None:
        """Makes the logs durable and complete, and notes that the run is done.

        Args:
            results: Further entries of `summary.json`.

        Raises:
            OSError: If one of the files still cannot be written.
        """
        self.logs.finish(self.run.history)
        self._summarise("done", **results)

    def note_end(self, status: str, **more: str) -> None:
        """Notes in `summary.json` how a run ended early; a full disk must not hide that.

        Without a first checkpoint there is no run: the same command can start it.
        """
        if not run_folder.checkpoints(self.folder):
            return
        try:
            self._summarise(status, **more)
        except OSError as error:
            log.warning("warning: %s", console.one_line(error))

    def close(self) -> None:
        """Ends what is under way, whatever else went wrong."""
        try:
            self.thread.wait()
        except OSError as error:
            log.warning("warning: %s", console.one_line(error))
        self.thread.close()
        self.logs.close()

    def _summarise(self, status: str, **more: Any) -> None:
        summary.write_summary(self.folder, self.run, status=status, command=self.command, **more)

    def _write(self, *, best: bool) -> Callable[[dict[str, Any]], None]:
        """What writes the state of now; its OSError says what is there to go on from."""
        folder, step = self.folder, self.run.progress.step
        keep_last = self.run.config.checkpoint.keep_last

        def write(state: dict[str, Any]) -> None:
            try:
                checkpoint.save(folder, state, step, keep_last=keep_last, best=best)
            except OSError as error:
                way_out = f"{console.one_line(error)}; {_newest(folder)}"
                if run_folder.checkpoints(folder):
                    way_out += f"; {resume_command(folder)} goes on from there"
                raise OSError(error.errno, way_out) from error

        return write


class NoRecord:
    """A record that another process keeps: takes part in what all have to say, and writes nothing.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def start(self, *, changed: bool) -> None:
        """As in `Record`."""
        if self.run.peers.largest(changed):
            self.run.state_dict()

    def begin(self, *, best: bool, line: str | None = None) -> None:
        """As in `Record`; a state is gathered from all processes."""
        del best, line
        self.run.state_dict()

    def poll(self) -> None:
        """Nothing is under way here."""

    def wait(self) -> None:
        """Nothing is under way here."""

    def last_good(self) -> str:
        """The first process says it."""
        return ""

    def finish(self, **results: Any) -> None:
        """Nothing to make durable."""

    def note_end(self, status: str, **more: str) -> None:
        """Nothing to note."""

    def close(self) -> None:
        """Nothing to end."""


def epoch_line(row: Mapping[str, float], split: str, epochs: int, task: Task) -> str:
    """What an epoch came to, in one line.

    Args:
        row: Its metrics.
        split: `val` or `test`, whichever is evaluated.
        epochs: Planned length of the run.
        task: What is learned.
    """
    score = task.score
    line = (
        f"epoch {int(row['epoch']):>{len(str(epochs))}}/{epochs}"
        f"  lr {row['lr']:<9.4g}"
        f"  train loss {row['train/loss']:.4f} {score} {task.written(row[f'train/{score}'])}"
    )
    if f"{split}/loss" in row:
        evaluated = task.written(row[f"{split}/{score}"])
        line += f"  {split} loss {row[f'{split}/loss']:.4f} {score} {evaluated}"
    line += f"  {row['seconds']:.1f} s  {row['images_per_second']:,.0f} {task.examples}/s"
    if row["skipped_updates"]:
        line += f"  {count(int(row['skipped_updates']), 'step')} skipped"
    return line


def _newest(folder: Path) -> str:
    found = run_folder.checkpoints(folder)
    return f"the last good checkpoint is {found[0]}" if found else "there is no checkpoint yet"
