"""`python -m trainer.verify_resume`: a run that is killed again and again against one untouched."""

import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from trainer.cli import console
from trainer.cli.command import Parser, framed, leave
from trainer.cli.signals import Stopped
from trainer.storage import files

EXAMPLES = """\
examples:
  python -m trainer.verify_resume data=synthetic epochs=3 --kills 5
  python -m trainer.verify_resume experiment=vgg_warmup_cosine data.train_size=2560 epochs=8

Checkpoints are kept until the end, so a difference is shown at the first checkpoint that has it;
checkpoint.every_steps=1 shows the very step.
exit code: 0 identical, 1 different, 2 a mistake in the arguments"""
OTHERS = ("resume", "hydra.run.dir", "-m", "--multirun", "--version", "--cfg")


@framed
def main(arguments: list[str]) -> int:
    """Compares; returns the exit code."""
    parser = Parser(
        "verify_resume",
        "[key=value ...] [--kills N] [--within S] [--seed N] [--folder FOLDER]",
        "Trains a configuration untouched, and again with kills at random moments, and compares "
        "every checkpoint, the metrics, the LRs and the event files bit for bit.",
        EXAMPLES,
    )
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="how many (20)")
    parser.add_argument(
        "--within",
        type=float,
        metavar="SECONDS",
        help="of training that pass at most before a kill (two fifths of the run)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="draws the moments")
    parser.add_argument("--folder", type=Path, help="where the runs go, and stay")
    for argument in arguments:
        if argument.partition("=")[0] in OTHERS:
            raise ValueError(f"{argument.partition('=')[0]}: is not for verify_resume")
    flags = parser.read(arguments).flags
    if flags.kills < 1:
        raise ValueError(f"--kills {flags.kills}: must be at least 1")
    if flags.within is not None and not flags.within > 0:
        raise ValueError(f"--within {flags.within:g}: must be above 0")
    folder = flags.folder
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="verify_resume_"))
    elif folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"--folder={folder}: is not empty")
    else:
        files.make_folder(folder.absolute())
    seed = random.randrange(2**32) if flags.seed is None else flags.seed
    from trainer.training import verification  # torch takes seconds

    same = False
    try:
        same = verification.verify(
            flags.words, flags.kills, seed, folder.resolve(), within=flags.within
        )
    except verification.Failed as error:
        console.say(str(error), sys.stderr)
        same = error.code == 2  # a mistake: there is nothing to look at
        return error.code
    finally:
        verification.end()
        if flags.folder is None:
            if same or not any(folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                console.say(f"the runs are in {folder}", sys.stdout)
    return 0 if same else 1


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)  # its runs end first


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    leave(main())
