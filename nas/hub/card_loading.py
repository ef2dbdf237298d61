"""The card's section on loading: here, in timm, in ONNX Runtime. A test runs its code."""

import json
from collections.abc import Collection
from shlex import quote
from string import Template

from nas.hub import names
from nas.hub.card_facts import CardFacts
from nas.hub.markdown import fenced, plain
from search_spaces.interchange.files import to_text
from search_spaces.settings.config_error import ConfigError

# `fetch` and `place` are the lines that find the card's folder; what is put in is not searched for fields.
TIMM_CODE = Template("""\
import json
from functools import partial

import torch
${fetch}from safetensors.torch import load_file
from timm.layers import get_act_layer
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet

${place}with open(f"{folder}/timm.json") as file:
    facts = json.load(file)
model = EfficientNet(
    block_args=decode_arch_def(facts["arch_def"]),
    num_classes=${num_classes},
    num_features=facts["num_features"],
    stem_size=facts["stem_size"],
    fix_stem=True,
    pad_type=facts["pad_type"],
    act_layer=get_act_layer(facts["act_layer"]),
    norm_layer=partial(torch.nn.BatchNorm2d, eps=facts["bn_eps"]),
)
model.load_state_dict(load_file(f"{folder}/timm.safetensors"))
model.eval()""")
ONNX_CODE = Template("""\
import numpy as np
import onnxruntime
${fetch}
${place}session = onnxruntime.InferenceSession(${file})
images = np.zeros((1, 3, ${side}, ${side}), np.float32)  # pixels as above
(logits,) = session.run(None, {"images": images})""")
CROPS = {
    "squash": "all of the picture, squashed to the square",
    "center": "the square in the middle of the picture, of size / (size + 32) of its shorter side",
}


def timm_refusal(facts: CardFacts) -> str:
    """The reason why timm cannot express the architecture; empty where it can."""
    try:
        to_text("timm", facts.weights.architecture)
    except ConfigError as error:
        return str(error)
    return ""


def loading_section(facts: CardFacts, *, place: str, files: Collection[str], is_repository: bool) -> str:
    """Code that loads the network: one line here, in timm where that can express it, in ONNX Runtime."""
    side = facts.weights.resolution
    folder = place.rpartition("/")[2] if is_repository else place
    pull = f"nas pull {place}\n" if is_repository else ""
    fetch = "from huggingface_hub import snapshot_download\n" if is_repository else ""
    quoted = json.dumps(place, ensure_ascii=False)
    where = f"folder = {f'snapshot_download({quoted})' if is_repository else quoted}\n"
    view = facts.weights.view(side)
    shown = CROPS.get(view.crop, view.crop)
    parts = [
        "## How to load it",
        "With training-aware-nas, in one line, as a PyTorch module in evaluation mode (in a clone of its "
        f"repository: `pip install -e {quote('.[hub]') if is_repository else '.'}`):",
        fenced("python", f"from nas.hub.load import load\n\nnetwork = load({quoted})"),
        f"It takes RGB pixels of 0 to 255 as (x - 128) / 128, N x 3 x {side} x {side} ({shown}, "
        f"{view.interpolation}), and gives logits, N x {facts.weights.num_classes:,}; "
        "`nas.hub.load.weights_of` has the names of the classes. From the command line:",
        fenced(
            "sh",
            f"{pull}nas predict {quote(folder)} PICTURES -o predictions.csv\n"
            f"nas evaluate {quote(folder)} --data IMAGES\n"
            f"nas describe {quote(folder)}",
        ),
    ]
    if own := sorted({stage.op for stage in facts.weights.architecture.stages if ":" in stage.op}):
        listed = ", ".join(plain(op) for op in own)
        parts.append(
            f"It has ops of its maker's own ({listed}), whose package has to be installed: `--trust` imports "
            "it for a command, `search_spaces.networks.trusted.trust` in Python."
        )
    if names.TIMM in files:
        code = TIMM_CODE.substitute(fetch=fetch, place=where, num_classes=facts.weights.num_classes)
        parts += ["In timm, without this package:", fenced("python", code)]
    else:
        parts.append(f"timm cannot express it: {plain(timm_refusal(facts) or 'it was left out')}.")
    if names.ONNX in files:
        file = 'f"{folder}/model.onnx"'
        onnx = ONNX_CODE.substitute(fetch=fetch, place=where, file=file, side=side)
        parts += ["In ONNX Runtime:", fenced("python", onnx)]
    else:
        onnx = ONNX_CODE.substitute(fetch="", place="", file='"model.onnx"', side=side)
        written = fenced("sh", f"nas export {quote(folder)} --format onnx -o model.onnx")
        parts += ["In ONNX Runtime, after", written, fenced("python", onnx)]
    return "\n\n".join(parts)
