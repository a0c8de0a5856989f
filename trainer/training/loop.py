"""The loop: one epoch, top to bottom, on one page."""

import math
import time
from dataclasses import dataclass

from trainer.cli import console
from trainer.cli.console import log
from trainer.cli.signals import Stopped, StopRequest
from trainer.data.epoch_table import EpochTables
from trainer.training import early_stopping, summary
from trainer.training.divergence import DivergenceCheck
from trainer.training.epoch_row import epoch_row
from trainer.training.history import Row
from trainer.training.loss_reader import LossReader
from trainer.training.record import NoRecord, Record, epoch_line
from trainer.training.run import Run
from trainer.training.stopping import EVERY, StopVote


@dataclass(slots=True)
class Training:
    """A run under way, in its folder.

    Attributes:
        run: What is trained.
        stop_vote: Says when the run is asked to end early.
        record: Its checkpoints and logs.
        divergence: Stops the run if a loss is not finite.
        bar: Whether to draw a progress bar.
        tables: Order, crops and flips of each epoch.
        session_start: When this process took the run up, in `time.perf_counter` seconds.
        seconds_before: Seconds spent on the run by earlier processes.
    """

    run: Run
    stop_vote: StopVote
    record: Record | NoRecord
    divergence: DivergenceCheck
    bar: bool
    tables: EpochTables
    session_start: float
    seconds_before: float

    @staticmethod
    def start(
        run: Run, record: Record | NoRecord, stop: StopRequest, *, changed: bool = False
    ) -> "Training":
        """Gets ready for the next step; a new or changed run saves a checkpoint here."""
        training = Training(
            run=run,
            stop_vote=StopVote(stop, run.peers, every=EVERY if run.device.type == "cuda" else 1),
            record=record,
            divergence=DivergenceCheck(
                run, LossReader(run.sums.losses, run.peers), record.last_good
            ),
            bar=run.peers.leads and console.shows_bar(run.config.log.progress),
            # no thread beside which workers would be forked
            tables=EpochTables(
                run.table,
                run.config.epochs,
                ahead=run.device.type == "cuda" and not run.config.data.workers,
            ),
            session_start=time.perf_counter(),
            seconds_before=run.progress.seconds,
        )
        record.start(changed=changed)
        return training

    def train(self) -> None:
        """Trains to the end.

        Raises:
            Stopped: If SIGTERM or SIGINT came; the state is saved.
            FloatingPointError: If the loss is not finite; the last checkpoint is finite.
            OSError: If a checkpoint cannot be written; earlier ones are untouched.
        """
        run, progress = self.run, self.run.progress
        options, epochs = run.config.checkpoint, run.config.epochs
        while progress.epoch < epochs and not early_stopping.reason(run):
            self.train_epoch()
            evaluated = (
                progress.epoch + 1 == epochs
                or (progress.epoch + 1) % run.config.evaluate_every == 0
            )
            row = self.finish_epoch(evaluated=evaluated)
            best = evaluated and self.is_best(row)
            ending = progress.epoch == epochs or bool(early_stopping.reason(run))
            due = progress.epoch % options.every_epochs == 0 or ending
            stopping = self.stop_vote.now()  # once: it may come between two questions
            line = epoch_line(row, run.data.split, epochs, run.config.task())
            if due or best or stopping is not None:
                self.save(best=best, line=line)  # what is printed can be resumed from
            else:
                self.record.wait()
                log.info(line)
            if stopping is not None and not ending:
                self.record.wait()
                raise Stopped(stopping)
        self.record.wait()

    def train_epoch(self) -> None:
        """The steps of the epoch under way."""
        run, progress, config = self.run, self.run.progress, self.run.config
        title = f"epoch {progress.epoch + 1}/{config.epochs}"
        done, steps = progress.step_in_epoch, run.steps_per_epoch
        bar = console.EpochBar(show=self.bar, title=title, total=steps, done=done)
        if config.data.workers:  # forked beside a thread at work, a worker may inherit a held lock
            self.record.wait()
        start = time.perf_counter() - progress.train_seconds
        run.engine.begin(self.tables.take(progress.epoch))
        for step in range(done, steps):
            run.history.lrs.append([*run.scheduler.get_last_lr()])
            if (momentum := run.scheduler.momentum(progress.step)) is not None:
                run.history.momenta.append(momentum)
            run.engine.train_on(step)  # and the LR of the next step
            progress.advance()
            bar.advance()
            if (loss := self.divergence.watch()) is not None:
                bar.loss(loss)
            self.record.poll()
            every, stopping = config.checkpoint.every_steps, self.stop_vote.at_update()
            due = every and progress.step % every == 0 and step + 1 < steps
            if due or stopping is not None:
                self.divergence.check()
                progress.train_seconds = time.perf_counter() - start
                self.save(best=False)
            if stopping is not None:
                bar.close()
                self.record.wait()
                raise Stopped(stopping)
        bar.close()
        self.divergence.check()  # waits for the device, so the clock below is true
        progress.train_seconds = time.perf_counter() - start

    def finish_epoch(self, *, evaluated: bool) -> Row:
        """Evaluates, shows the metrics to a plateau, and moves on to the next epoch.

        Raises:
            Stopped: If a signal came while evaluating; the epoch is saved as trained but not
                evaluated, and a resume goes on with its evaluation.
        """
        run, progress = self.run, self.run.progress
        evaluation = self.evaluate() if evaluated else None
        progress.seconds = self.seconds()
        row = epoch_row(run, run.sums.total(run.peers), evaluation)
        progress.skipped_updates += int(row["skipped_updates"])
        if evaluated:
            self.divergence.check_evaluation(row)
            run.history.rows.append(row)
            self._observe(row)
        progress.next_epoch()
        run.sums.clear()
        return row

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy of the evaluated images; a stop does not wait for them."""
        try:
            self.run.peers.copy_buffers(self.run.evaluated)
            return self.run.evaluator(self.run.evaluated, self.stop_vote.check)
        except Stopped:
            self.save(best=False)
            self.record.wait()
            raise

    def save(self, *, best: bool, line: str | None = None) -> None:
        """Saves the state as it is now; the logs, and a line, follow once it is durable.

        Raises:
            OSError: If the checkpoint before this one could not be written; this one's errors come
                when it is waited for.
        """
        self.run.progress.seconds = self.seconds()
        self.record.begin(best=best, line=line)

    def close(self) -> None:
        """Ends what is under way, whatever else went wrong."""
        self.record.close()
        self.tables.close()

    def seconds(self) -> float:
        """Time spent on the run so far, by this process and earlier ones."""
        return self.seconds_before + time.perf_counter() - self.session_start

    def is_best(self, row: Row) -> bool:
        """Whether this row's monitored metric is better than all before it."""
        name = summary.monitored_name(self.run)
        sign = 1 if self.run.config.higher_is_better(name) else -1
        earlier = [sign * r[name] for r in self.run.history.rows if r["step"] < row["step"]]
        return sign * row[name] > max(earlier, default=-math.inf)

    def _observe(self, row: Row) -> None:
        metric = self.run.scheduler.monitored(row)
        if metric is not None and self.run.scheduler.observe(metric):
            lr = self.run.scheduler.get_last_lr()[0]
            log.info(f"plateau: the LR is reduced to {lr:g}")
