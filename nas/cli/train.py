"""`nas train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.cli.output import ScreenTeller, json_option, network_option, print_json, show, summed_up
from nas.errors import NasError
from nas.system import ranks
from nas.system.places import absolute_data

if TYPE_CHECKING:
    from nas.runs.training_folder import TrainingFolder


@click.command()
@click.argument("config", required=False, metavar="NET")
@click.option("--data", metavar="NAME[:PATH]", help="Pictures: digits, imagefolder:PATH, … (docs/data.md).")
@click.option("--epochs", type=int, help="Passes over the training pictures. Default: 30.")
@click.option("--batch", type=int, help="Pictures of a step, over all processes. Default: 64, on inherited weights 32.")
@click.option(
    "--lr", type=float, help="Peak learning rate. Default: 0.1 for 64 pictures; on inherited weights 0.02 for 32."
)
@click.option("--seed", type=int, help="Default: 0. One seed, one result.")
@click.option("--weights", metavar="FILE", help="A safetensors file to inherit. Default: what lies beside the config.")
@click.option("--from-scratch", is_flag=True, default=None, help="Inherit no weights.")
@click.option(
    "--teacher",
    metavar="NET|none",
    help="Distil from this trained network. Default: the one that the winner of a run came from, where there is one.",
)
@click.option("--norm", metavar="batch|tune", help="tune: keep normalisation's statistics; less memory and time.")
@click.option("--only", metavar="PARTS", help="Train last, norm or last,norm alone: the classifier, scales and shifts.")
@network_option
@click.option("--skip-broken", is_flag=True, default=None, help="Leave out pictures that cannot be read.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Default: runs/train-DATA-N.")
@click.option("--resume", is_flag=True, help="Go on with the training in --out.")
@click.option("--tensorboard", is_flag=True, help="Also write curves for TensorBoard.")
@json_option
@ranks.told_once()
def train(
    config: str | None, data: str | None, out: Path | None, resume: bool, tensorboard: bool, as_json: bool, **plain: Any
) -> None:
    """Train a network, or fine-tune one that has weights, and test it."""
    folder = _folder(config, data, out, resume, plain)
    with ScreenTeller("train") as teller:
        from nas.runs.train import carry_out  # only now: the request is on disk, and a bar tells that it takes a while

        carry_out(folder, teller, tensorboard)
    if ranks.rank():
        return
    if as_json:
        print_json(folder.result)
    else:
        from nas.training.summary import training_summary

        show(summed_up(training_summary, folder.result, folder.path / "result.json"))


def _folder(
    config: str | None, data: str | None, out: Path | None, resume: bool, plain: dict[str, Any]
) -> TrainingFolder:
    """The training's folder."""
    from nas.runs.network import absolute_network, find_network, find_teacher
    from nas.runs.training_folder import TrainingFolder
    from nas.runs.training_request import TrainingRequest
    from nas.training.choices import parts

    asked = {name: value for name, value in plain.items() if value is not None}
    for name, place in {"config": config, "teacher": asked.get("teacher")}.items():
        if place is not None and (name, place) != ("teacher", "none"):
            asked[name] = absolute_network(place)
    if "weights" in asked:
        asked["weights"] = str(Path(asked["weights"]).resolve())
    if "only" in asked:
        asked["only"] = ",".join(parts(asked["only"]))
    if data is not None:
        asked["data"] = absolute_data(data)
    if resume:
        return TrainingFolder.resume(out, asked)
    for name, example in {"config": "A network, such as a config.json or a run,", "data": "--data digits"}.items():
        if name not in asked:
            raise NasError(f"{example} is required, for example: nas train runs/mine --data digits")
    TrainingRequest(**asked)
    source = find_network(asked["config"], asked.get("resolution"))  # refused before anything is written
    inherits = "weights" in asked or ("from_scratch" not in asked and source.config.weights != "random")
    request = TrainingRequest.complete(asked, inherits)
    find_teacher(source, request.teacher)
    return TrainingFolder.create(out, request)
