"""The model card of a folder of the Hugging Face Hub: README.md, with YAML in front."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from slowfast.analysis.report.sections import Tile

_MOST_ROWS = 100  # classes in the table of clips


@dataclass(frozen=True)
class Card:
    """All that a model card says.

    name: user/name on the Hub, "" where it has none yet. license: "" where none was chosen.
    metrics: of the test, title -> percent. results: the same and more with their intervals; about
    the test one sentence. costs, inputs, training: rows (what, value). num_examples: of each class
    in training, [] where unknown. limits: sentences. pictures: names of files beside it. has_boxes:
    it classifies people in boxes, not whole videos.
    """

    model: str
    name: str
    license: str
    dataset: str
    num_classes: int
    costs: Sequence[tuple[str, str]]
    inputs: Sequence[tuple[str, str]]
    training: Sequence[tuple[str, str]]
    num_examples: Sequence[tuple[str, float]]
    limits: Sequence[str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    results: Sequence[Tile] = ()
    about_test: str = "It was not tested."
    pictures: Sequence[str] = ()
    has_boxes: bool = False

    @property
    def title(self) -> str:
        """Its name on the Hub, else the network and the dataset."""
        return self.name.rpartition("/")[2] or f"{self.model}, {self.dataset}"


def front_matter(card: Card) -> dict[str, Any]:
    """Facts by which the Hub files a model; without `license` where none was chosen."""
    kinds = ["mean_average_precision" if "mAP" in t else "accuracy" for t in card.metrics]
    metrics = [
        {"type": kind, "name": title, "value": round(value, 3)}
        for kind, (title, value) in zip(kinds, card.metrics.items(), strict=True)
    ]
    found: dict[str, Any] = {"license": card.license} if card.license else {}
    found |= {"library_name": "slowfast", "pipeline_tag": "video-classification"}
    found["tags"] = ["video", "action-recognition", card.model.lower()]
    dataset = re.sub(r"[^a-z0-9]+", "-", card.dataset.lower()).strip("-")
    found["datasets"] = [dataset]
    if metrics:
        found["metrics"] = sorted(set(kinds))
        result = {
            "task": {"type": "video-classification"},
            "dataset": {"name": card.dataset, "type": dataset, "split": "test"},
            "metrics": metrics,
        }
        found["model-index"] = [{"name": card.title, "results": [result]}]
    return found


def write_card(card: Card) -> str:
    """The text of README.md."""
    page = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    ).from_string(_PAGE)
    counts = [count for _, count in card.num_examples]
    return page.render(
        card=card,
        place=f"hf:{card.name}" if card.name else "FOLDER",
        front=yaml.safe_dump(front_matter(card), sort_keys=False, allow_unicode=True),
        counts=counts,
        shows_table=0 < len(counts) <= _MOST_ROWS,
        whole="{:,.0f}".format,
        cell=lambda value: " ".join(str(value).split()).replace("|", "\\|"),
    )


_PAGE = """\
---
{{ front }}---

# {{ card.title }}

{{ card.model }} for \
{{ "actions of people in boxes" if card.has_boxes else "video classification" }}, \
{{ card.num_classes }} classes, trained on \
{{ card.dataset }} with the Python package `slowfast`.

## Use

```
pip install 'slowfast[hub]'
slowfast predict clip.mp4 --checkpoint {{ place }}{{ " --boxes boxes.csv" if card.has_boxes }}
```
{% if not card.has_boxes %}

```python
import slowfast

predictor = slowfast.Predictor(None, "{{ place }}")
print(predictor("clip.mp4"))
```
{% endif %}
{% if not card.name %}

`FOLDER` is the folder of this file, or `hf:user/name` once it is on the Hub.
{% endif %}

To train from these weights, set `TRAIN.CHECKPOINT_FILE_PATH {{ place }}`.

| input | |
|---|---|
{% for what, value in card.inputs %}
| {{ what }} | {{ cell(value) }} |
{% endfor %}

## Results

{{ card.about_test }}
{% if card.results %}

| | | |
|---|---|---|
{% for what, value, interval in card.results %}
| {{ what }} | {{ value }} | {{ interval }} |
{% endfor %}
{% endif %}
{% for picture in card.pictures %}

![{{ picture[7:-4] }} of the run]({{ picture }})
{% endfor %}

## Cost

| | |
|---|---|
{% for what, value in card.costs %}
| {{ what }} | {{ value }} |
{% endfor %}

## Data

{{ card.dataset }}, {{ card.num_classes }} classes; `classes.txt` has their names, in the order of \
the scores.
{% if counts %}
Training saw {{ whole(counts | sum) }} examples, \
{{ "" if counts | min == counts | max else whole(counts | min) ~ " to " }}\
{{ whole(counts | max) }} of a class.
{% endif %}
{% if shows_table %}

<details><summary>Examples of each class in training</summary>

| class | examples |
|---|---|
{% for name, count in card.num_examples %}
| {{ cell(name) }} | {{ whole(count) }} |
{% endfor %}

</details>
{% endif %}

## Training

| | |
|---|---|
{% for what, value in card.training %}
| {{ what }} | {{ cell(value) }} |
{% endfor %}

`config.yaml` has every setting, without local paths.

## Limits

{% for limit in card.limits %}
- {{ limit }}
{% endfor %}
"""
