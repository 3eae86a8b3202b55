"""Server of your SEEM for cacapp. Copy this file, fill in ``ask_seem``, and set the copy: --set seem.server=FILE

It runs with the Python of the environment with SEEM, needs only numpy there, and is loaded once.
"""

import numpy as np


def handlers(arguments):
    """Return the functions that cacapp calls; called once: load your model here."""
    model = load_seem()

    def segment(meta, arrays):
        masks, scores = ask_seem(
            model,
            arrays["image"],  # (h, w, 3) uint8: a tile
            arrays.get("points_xy"),  # (N, P, 2) px, or None
            arrays.get("point_labels"),  # (N, P): 1 nucleus, 0 background, -1 padding, or None
            arrays.get("boxes_xyxy"),  # (N, 4) px, or None
            meta["text"] if meta["use"] == "text" else None,
        )
        found = np.asarray(masks, bool) if len(masks) else np.zeros((0, *arrays["image"].shape[:2]), bool)
        return {}, {"masks": found, "scores": np.asarray(scores, np.float64)}

    def weights(meta, arrays):
        return {"sha256": None}, {}  # the SHA-256 of your checkpoint, 64 hex digits: cacapp stores it with every run

    return {"segment": segment, "weights": weights}


def load_seem():
    """Load your SEEM on its device."""
    raise NotImplementedError("load your SEEM in load_seem()")


def ask_seem(model, image, points_xy, point_labels, boxes_xyxy, text):
    """Return masks (N, h, w) bool and scores (N,): one per prompt, with score 0 if SEEM finds none; for a text any number."""
    raise NotImplementedError("ask your SEEM in ask_seem()")
