"""The loop: every epoch, top to bottom, on one page."""

import contextlib

from trainer.cli.signals import Stopped
from trainer.data.epoch_table import EpochTables
from trainer.training import early_stopping, summary
from trainer.training.clock import Clock
from trainer.training.epoch_row import epoch_line, epoch_row
from trainer.training.loss_watch import LossWatch
from trainer.training.record import Record
from trainer.training.run import Run
from trainer.training.run_bar import RunBar
from trainer.training.stopping import StopVote


def train(run: Run, record: Record, stop: StopVote) -> Stopped | None:
    """Trains from where the run stands; what ended it early, its state saved, or None.

    Raises:
        FloatingPointError: If a loss is not finite; the last checkpoint is finite.
        OSError: If a checkpoint cannot be written; earlier ones are untouched.
    """
    config, progress, steps = run.config, run.progress, run.steps_per_epoch
    losses, clock, bars = LossWatch(run, record.last_good), Clock(progress), RunBar(run)
    with contextlib.closing(EpochTables(run.table, config.epochs, ahead=run.makes_ahead)) as tables:
        while progress.epoch < config.epochs and not early_stopping.reason(run):
            if config.data.workers:  # forked beside a thread at work, one may inherit a held lock
                record.wait()
            losses.begin_epoch()
            clock.begin_epoch()
            run.engine.begin(tables.take(progress.epoch))
            with bars.epoch() as bar:
                for step in range(progress.step_in_epoch, steps):
                    run.history.note_lr(run.scheduler, progress.step)
                    run.engine.train_on(step)  # and the LR of the next step
                    progress.advance()
                    bar.advance(bars.news(losses.poll()))
                    record.poll()
                    ends = step + 1 == steps
                    wish = stop.after_step(progress.step, ends_epoch=ends)
                    if wish or (record.due(progress.step) and not ends):
                        losses.check()
                        clock.read_steps()
                        record.save()
                    if wish:
                        return wish
            losses.check()  # waits for the device, so the clock is true
            clock.read_steps()
            evaluation, last = None, progress.epoch + 1 == config.epochs
            if last or (progress.epoch + 1) % config.evaluate_every == 0:
                try:
                    evaluation = run.evaluate(stop.check)
                except Stopped as stopped:  # trained, not evaluated: a resume goes on with that
                    record.save()
                    return stopped
            clock.read()
            row, best = epoch_row(run, evaluation), False
            if evaluation is not None:
                losses.check_evaluation(row)
                best = summary.is_best(run, row)
                run.show_plateau(row)
            run.history.rows.append(row)
            progress.next_epoch(int(row["skipped_updates"]))
            run.sums.clear()
            ended, wish = last or bool(early_stopping.reason(run)), stop.now(progress.step)
            save = best or ended or wish is not None or record.due_after(progress.epoch)
            record.end_epoch(epoch_line(run, row), save=save, best=best)
            if wish and not ended:
                return wish
    return None
