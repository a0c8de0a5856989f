"""What a run writes into its folder while it trains: its checkpoints, and the logs behind them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trainer.cli import console
from trainer.cli.console import log
from trainer.cli.words import count
from trainer.storage import checkpoint, run_folder
from trainer.storage.run_folder import resume_command
from trainer.training import summary
from trainer.training.checkpoint_thread import CheckpointThread
from trainer.training.logs import Logs
from trainer.training.run import Run


class Record:
    """Checkpoints and logs of a run; nothing is shown that could not be resumed from.

    Of several processes the first writes; the others take part in gathering a state.

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
        self.kept = run.config.kept_steps()

    def start(self, *, changed: bool) -> None:
        """Makes folder and run agree.

        A new run saves its first checkpoint here; so does one that was changed.
        """
        run = self.run
        begins = run.peers.leads and not run_folder.checkpoints(self.folder)
        if run.peers.largest(changed or begins):
            self._save(best=False, published=lambda: None)
            self.wait()
        if not run.peers.leads:
            return
        # what a kill behind the last checkpoint left
        keep_last = run.config.checkpoint.keep_last
        checkpoint.rotate(self.folder, run.progress.step, keep_last, self.kept)
        self._announce_kept()
        self.logs.rebuild(run.history)
        summary.write_config(self.folder, run.config)
        self._summarise("running")

    def save(self, *, best: bool = False, line: str | None = None) -> None:
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

        self._save(best=best, published=published)

    def end_epoch(self, line: str, *, save: bool, best: bool) -> None:
        """Says what an epoch came to, behind its checkpoint if there is to be one."""
        if save:
            self.save(best=best, line=line)
        else:
            self.wait()
            log.info(line)

    def due(self, step: int) -> bool:
        """Whether a checkpoint is wanted after a step within an epoch."""
        every = self.run.config.checkpoint.every_steps
        return step in self.kept or (every is not None and step % every == 0)

    def due_after(self, epoch: int) -> bool:
        """Whether a checkpoint is wanted after an epoch."""
        options, steps = self.run.config.checkpoint, self.run.steps_per_epoch
        return epoch % options.every_epochs == 0 or epoch * steps in self.kept

    def poll(self) -> None:
        """Publishes a checkpoint that is durable; raises OSError if it could not be written."""
        self.thread.poll()

    def wait(self) -> None:
        """Waits until nothing is under way; raises OSError if it could not be written."""
        self.thread.wait()

    def _announce_kept(self) -> None:
        newest = run_folder.checkpoints(self.folder)
        more = len([step for step in self.kept if step > self.run.progress.step])
        if more and newest:
            size = more * newest[0].stat().st_size / 1e6
            log.info("note: keeps %s for good: %.0f MB", count(more, "checkpoint"), size)

    def _save(self, *, best: bool, published: Callable[[], None]) -> None:
        state = self.run.state_dict()  # gathered from all processes
        if self.run.peers.leads:
            self.thread.begin(state, self._write(best=best), published)

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
        if self.run.peers.leads:
            self.logs.finish(self.run.history)
            self._summarise("done", **results)

    def note_end(self, status: str, **more: str) -> None:
        """Notes in `summary.json` how a run ended early; a full disk must not hide that.

        Without a first checkpoint there is no run: the same command can start it.
        """
        if not self.run.peers.leads or not run_folder.checkpoints(self.folder):
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
        folder, step, kept = self.folder, self.run.progress.step, self.kept
        keep_last = self.run.config.checkpoint.keep_last

        def write(state: dict[str, Any]) -> None:
            try:
                checkpoint.save(folder, state, step, keep_last=keep_last, best=best, kept=kept)
            except OSError as error:
                way_out = f"{console.one_line(error)}; {_newest(folder)}"
                if run_folder.checkpoints(folder):
                    way_out += f"; {resume_command(folder)} goes on from there"
                raise OSError(error.errno, way_out) from error

        return write


def _newest(folder: Path) -> str:
    found = run_folder.checkpoints(folder)
    return f"the last good checkpoint is {found[0]}" if found else "there is no checkpoint yet"
