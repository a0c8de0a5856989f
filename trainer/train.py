"""The loop: one epoch, top to bottom, on one page."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer import checkpoint, console, summary
from trainer.console import log
from trainer.data.epoch_table import epoch_table
from trainer.epoch_row import epoch_row
from trainer.history import Row
from trainer.logs import Views
from trainer.loss_reader import LossReader, first_non_finite
from trainer.run import Run
from trainer.signals import Stopped, StopRequest


@dataclass(slots=True)
class Training:
    """A run under way, in its folder.

    Attributes:
        run: What is trained.
        folder: Where its files go.
        stop: Set when the run is asked to end early.
        views: The logs.
        reader: Reads the losses.
        bar: Whether to draw a progress bar.
        session_start: When this process took the run up, in `time.perf_counter` seconds.
        seconds_before: Seconds spent on the run by earlier processes.
    """

    run: Run
    folder: Path
    stop: StopRequest
    views: Views
    reader: LossReader
    bar: bool
    session_start: float
    seconds_before: float

    @staticmethod
    def start(run: Run, folder: Path, stop: StopRequest) -> "Training":
        """Gets ready for the next update; a new run commits here, and can be resumed from then."""
        views = Views(
            folder,
            [group["name"] for group in run.optimizer.param_groups],
            steps_per_epoch=run.steps_per_epoch,
            every_steps=run.config.log.every_steps,
        )
        training = Training(
            run=run,
            folder=folder,
            stop=stop,
            views=views,
            reader=LossReader(run.sums.losses),
            bar=console.shows_bar(run.config.log.progress),
            session_start=time.perf_counter(),
            seconds_before=run.progress.seconds,
        )
        if not checkpoint.commits(folder):
            training.save(best=False)
        # what a kill behind the last commit left
        checkpoint.rotate(folder, run.progress.step, run.config.checkpoint.keep_last)
        views.rebuild(run.history)
        return training

    def train(self) -> None:
        """Trains to the end.

        Raises:
            Stopped: If SIGTERM or SIGINT came; the state is committed.
            FloatingPointError: If the loss is not finite; the last commit is finite.
            OSError: If a commit cannot be written; earlier ones are untouched.
        """
        run, progress = self.run, self.run.progress
        options, epochs = run.config.checkpoint, run.config.epochs
        while progress.epoch < epochs:
            self.train_epoch()
            evaluated = (
                progress.epoch + 1 == epochs
                or (progress.epoch + 1) % run.config.evaluate_every == 0
            )
            row = self.finish_epoch(evaluated=evaluated)
            best = evaluated and self.is_best(row)
            due = progress.epoch % options.every_epochs == 0 or progress.epoch == epochs
            stopping = self.stop.signal  # read once: it may come between the two questions
            if due or best or stopping is not None:
                self.commit(best=best)
            # after the commit: what was said can be resumed from
            log.info(console.epoch_line(row, run.data.split, epochs))
            if stopping is not None and progress.epoch < epochs:
                raise Stopped(stopping)

    def train_epoch(self) -> None:
        """The updates of the epoch under way."""
        run, progress, config = self.run, self.run.progress, self.run.config
        table = epoch_table(
            config.seed,
            progress.epoch,
            len(run.data.train),
            padding=config.data.crop_padding,
            flip=config.data.flip,
        )
        title = f"epoch {progress.epoch + 1}/{config.epochs}"
        done, steps = progress.step_in_epoch, run.steps_per_epoch
        bar = console.EpochBar(show=self.bar, title=title, total=steps, done=done)
        start = time.perf_counter() - progress.train_seconds
        for step in range(done, steps):
            images, labels = run.loader.batch(table, step)
            run.history.lrs.append([float(g["lr"]) for g in run.optimizer.param_groups])
            if (momentum := run.scheduler.momentum(progress.step)) is not None:
                run.history.momenta.append(momentum)
            run.update(images, labels, run.sums, step)
            run.scheduler.step()
            progress.advance()
            bar.advance()
            self.watch_losses(bar)
            every, stopping = config.checkpoint.every_steps, self.stop.signal
            due = every and progress.step % every == 0 and step + 1 < steps
            if due or stopping is not None:
                self.check_finite()
                progress.train_seconds = time.perf_counter() - start
                self.commit(best=False)
            if stopping is not None:
                bar.close()
                raise Stopped(stopping)
        bar.close()
        self.check_finite()  # waits for the device, so the clock below is true
        progress.train_seconds = time.perf_counter() - start

    def finish_epoch(self, *, evaluated: bool) -> Row:
        """Evaluates, shows the metrics to a plateau, and moves on to the next epoch.

        Raises:
            Stopped: If a signal came while evaluating; the epoch is committed as trained but not
                evaluated, and a resume goes on with its evaluation.
        """
        run, progress = self.run, self.run.progress
        evaluation = self.evaluate() if evaluated else None
        progress.seconds = self.seconds()
        row = epoch_row(run, self.reader.read(run.steps_per_epoch), evaluation)
        progress.skipped_updates += int(row["skipped_updates"])
        if evaluated:
            self._check_evaluation(row, run.data.split)
            run.history.rows.append(row)
            self._observe(row)
        progress.next_epoch()
        run.sums.clear()
        return row

    def evaluate(self) -> tuple[float, float]:
        """Loss and accuracy of the evaluated images; a stop does not wait for them."""
        try:
            return self.run.evaluator(self.run.model, self.stop.check)
        except Stopped:
            self.commit(best=False)
            raise

    def commit(self, *, best: bool) -> None:
        """The durable point; the views follow it."""
        self.save(best=best)
        self.views.append(self.run.history)

    def save(self, *, best: bool) -> None:
        """Writes a checkpoint.

        Raises:
            OSError: If it cannot be written; names the file, and what is there to go on from.
        """
        run = self.run
        run.progress.seconds = self.seconds()
        try:
            checkpoint.save(
                self.folder,
                run.state_dict(),
                run.progress.step,
                keep_last=run.config.checkpoint.keep_last,
                best=best,
            )
        except OSError as error:
            way_out = f"{console.one_line(error)}; {self._last_good()}"
            if checkpoint.commits(self.folder):
                way_out += f"; resume={self.folder} goes on from there"
            raise OSError(error.errno, way_out) from error

    def seconds(self) -> float:
        """Time spent on the run so far, by this process and earlier ones."""
        return self.seconds_before + time.perf_counter() - self.session_start

    def watch_losses(self, bar: console.EpochBar) -> None:
        """Starts or takes in a reading of the losses, every `log.every_steps` updates."""
        progress = self.run.progress
        if progress.step_in_epoch % self.run.config.log.every_steps == 0:
            self.reader.request(progress.step_in_epoch)
        if (reading := self.reader.poll()) is not None:
            newest, bad = reading
            bar.loss(newest)
            if bad is not None:
                self._stop_at(bad)

    def check_finite(self) -> None:
        """Waits for the losses so far; nothing is committed without this.

        Raises:
            FloatingPointError: If one of them is not finite.
        """
        losses = self.reader.read(self.run.progress.step_in_epoch)
        if (bad := first_non_finite(losses)) is not None:
            self._stop_at(bad)
        # The newest update may have spoilt the weights, which no loss has shown yet.
        finite = [parameter.isfinite().all() for parameter in self.run.model.parameters()]
        if not torch.stack(finite).all():
            raise FloatingPointError(
                f"the weights are not finite after update {self.run.progress.step - 1} with LR "
                f"{self.run.history.lrs[-1][0]:g}; {self._last_good()}"
            )

    def is_best(self, row: Row) -> bool:
        """Whether this row's monitored metric is better than all before it."""
        name = summary.monitored_name(self.run)
        sign = 1 if name.endswith("accuracy") else -1
        earlier = [sign * r[name] for r in self.run.history.rows if r["step"] < row["step"]]
        return sign * row[name] > max(earlier, default=-math.inf)

    def _observe(self, row: Row) -> None:
        metric = self.run.scheduler.monitored(row)
        if metric is not None and self.run.scheduler.observe(metric):
            lr = self.run.scheduler.get_last_lr()[0]
            log.info(f"plateau: the LR is reduced to {lr:g}")

    def _stop_at(self, place: int) -> None:
        run = self.run
        k = run.progress.step - run.progress.step_in_epoch + place
        loss, lr = float(run.sums.losses[place]), run.history.lrs[k][0]
        raise FloatingPointError(
            f"the loss is {loss} at update {k} (epoch {run.progress.epoch + 1}, step {place}) with "
            f"LR {lr:g}; {self._last_good()}; a lower optimizer.lr, a longer warm-up or clip_norm "
            "helps"
        )

    def _check_evaluation(self, row: Row, split: str) -> None:
        if not math.isfinite(row[f"{split}/loss"]):
            raise FloatingPointError(
                f"the {split} loss is {row[f'{split}/loss']} after epoch {row['epoch']} with LR "
                f"{row['lr']:g}; {self._last_good()}"
            )

    def _last_good(self) -> str:
        found = checkpoint.commits(self.folder)
        return f"the last good checkpoint is {found[0]}" if found else "there is no checkpoint yet"
