"""What a network was pretrained on, read from the tag that timm gives to its weights."""

from __future__ import annotations

_SETS = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "inw21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "ig1b": "Instagram-1B",
    "yfcc100m": "YFCC100M",
    "yfcc15m": "YFCC15M",
    "cc12m": "CC12M",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "m30m": "Merged-30M",
    "m38m": "Merged-38M",
    "merged2b": "Merged-2B",
    "jft": "JFT-300M",
    "openai": "WIT-400M (OpenAI)",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "laiona": "LAION-A",
    "webli": "WebLI",
    "datacompxl": "DataComp-1B",
    "datacomp1b": "DataComp-1B",
    "dfn2b": "DFN-2B",
    "dfn5b": "DFN-5B",
    "dfndr2b": "DFNDR-2B",
    "metaclip": "MetaCLIP",
    "metaclip2": "MetaCLIP-2",
    "mclip": "DataCompDR (MobileCLIP)",
    "sa1b": "SA-1B",
}
_IMAGE_TEXT = (
    "openai",
    "laion2b",
    "laion400m",
    "laiona",
    "webli",
    "datacompxl",
    "datacomp1b",
    "dfn2b",
    "dfn5b",
    "dfndr2b",
    "metaclip",
    "metaclip2",
    "mclip",
    "tinyclip",
    "merged2b",
)
# Tags that leave the data out.
_IMPLIED = {"dino": "ImageNet-1k", "fcmae": "ImageNet-1k", "mae": "ImageNet-1k"}
_SELF_SUPERVISED = (
    "dino",
    "fcmae",
    "mae",
    "mim",
    "ijepa",
    "seer",
    "lvd142m",
    "lvd1689m",
    "sat493m",
)
_WEAK = ("ssl", "swsl", "wsl", "swag", "ns")


def kind_of(tag: str) -> str:
    """``supervised``, ``weakly-supervised``, ``self-supervised`` or ``image-text``.

    That of the first pretraining; a later fine-tuning on labels is told by :func:`described`.
    """
    words = tag.split("_")
    for kind, marks in (
        ("image-text", _IMAGE_TEXT),
        ("self-supervised", _SELF_SUPERVISED),
        ("weakly-supervised", _WEAK),
    ):
        if any(word in marks for word in words):
            return kind
    return "supervised"


def described(tag: str) -> str | None:
    """For people: ``ImageNet-21k, supervised; fine-tuned on ImageNet-1k``. None without a tag."""
    if not tag:
        return None
    first, _, later = tag.partition("_ft_")
    named = _sets(first) or [_IMPLIED[word] for word in first.split("_") if word in _IMPLIED]
    if not named:
        return f"not known (tag {tag!r})"
    text = f"{', then '.join(named)}, {kind_of(first)}"
    tuned = _sets(later)
    return f"{text}; fine-tuned on {', then '.join(tuned)}" if tuned else text


def _sets(words: str) -> list[str]:
    return [_SETS[word] for word in words.split("_") if word in _SETS]
